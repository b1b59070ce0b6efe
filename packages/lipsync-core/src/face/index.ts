export { createFaceDetector } from './face-detector.ts';
export type { FaceBox, FaceDetector, FaceFrame, FaceMesh, FacePresence, FaceRegion, FaceTrack } from './face-types.ts';
export { outerLips } from './landmarks.ts';
export { measureLips, type LipMeasure } from './lip-measure.ts';
export { trackFaces, type TrackFacesOptions } from './track-faces.ts';
