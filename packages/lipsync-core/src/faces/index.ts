export { createFaceDetector } from './face-detector.ts';
export { landmarkCount, type FaceBox, type FaceDetector, type FaceFrame, type FaceMesh, type FacePresence, type FaceRegion, type FaceTrack } from './face-types.ts';
export * from './landmark-groups.ts';
export { measureLips, type LipMeasure } from './mouth-measure.ts';
export { trackFaces, type TrackFacesOptions } from './track-faces.ts';
