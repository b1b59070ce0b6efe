export { createFaceCropper, cropFace, type FaceCropper } from './crop-face.ts';
export { placeFace, type FacePlacement } from './face-placement.ts';
export { createFacePaster, type FacePaste, type FacePaster } from './paste-face.ts';
