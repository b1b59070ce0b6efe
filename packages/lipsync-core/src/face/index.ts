export { createFaceDetector } from './face-detector.ts';
export type { FaceBox, FaceDetector, FaceFrame, FaceMesh, FacePresence, FaceRegion, FaceTrack } from './face-types.ts';
export { outerLips } from './landmark-groups.ts';
export { measureLips, type LipMeasure } from './mouth-measure.ts';
export { trackFaces, type TrackFacesOptions } from './track-faces.ts';
