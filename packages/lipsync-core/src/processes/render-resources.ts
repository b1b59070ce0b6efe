import { createFaceDetector, type FaceDetector } from '../face/index.ts';
import { loadSession, type OnnxSession } from '../inference/onnx-session.ts';
import { loadMouthModel, voiceModelPath, type MouthModel } from '../audio/index.ts';

/** Models that a render process loads when a task first needs them and keeps for the next task. */
export interface RenderResources {
  faceDetector(): Promise<FaceDetector>;
  voiceSession(): Promise<OnnxSession>;
  mouthModel(): Promise<MouthModel>;
}

export function createRenderResources(): RenderResources {
  return {
    faceDetector: loadOnce(() => createFaceDetector()),
    voiceSession: loadOnce(() => loadSession(voiceModelPath(), { threads: 1 })),
    mouthModel: loadOnce(() => loadMouthModel()),
  };
}

/** Remembers what was loaded, and forgets a failure so that the next call tries again. */
function loadOnce<Value>(load: () => Promise<Value>): () => Promise<Value> {
  let loading: Promise<Value> | undefined;
  return () => {
    loading ??= load().catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
    return loading;
  };
}
