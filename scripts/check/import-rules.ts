/** Which folder may import which. Every rule is broken on purpose in import-graph.test.ts. */
export interface ImportRule {
  readonly name: string;
  /** Files that the rule is about, by path from the project. */
  readonly from: RegExp;
  /** Files among them that are free to. */
  readonly except?: RegExp;
  /** What they must not import: a path from the project, a package name, or `node:` and a built-in module. */
  readonly to: RegExp;
}

const testCode = /(\.test\.ts$|\/test\/|\/testing\/)/;

export const importRules: readonly ImportRule[] = [
  { name: 'apps import packages, never each other (api)', from: /^apps\/api\//, to: /^apps\/(?!api\/)/ },
  { name: 'apps import packages, never each other (worker)', from: /^apps\/worker\//, to: /^apps\/(?!worker\/)/ },
  { name: 'packages know no app and no script', from: /^packages\//, to: /^(apps|scripts)\//, except: testCode },
  {
    name: 'the core knows neither HTTP server nor queue',
    from: /^packages\/lipsync-core\//,
    to: /^(express|bullmq|@bull-board\/.+|packages\/lipsync-queue\/.+)$/,
  },
  {
    name: 'only inference/ imports the ONNX runtime',
    from: /^(apps|packages)\/[^/]+\/src\//,
    except: /^packages\/lipsync-core\/src\/inference\//,
    to: /^onnxruntime-/,
  },
  {
    name: 'only media/ wraps ffmpeg',
    from: /^(apps|packages)\/[^/]+\/src\//,
    except: /^packages\/lipsync-core\/src\/media\//,
    to: /^fluent-ffmpeg$/,
  },
  {
    // processes/ and the engine fork our own code, the doctor asks programs for their version; a test may start what it likes.
    name: 'only media/ starts ffmpeg, only processes/, the engine and the doctor start other programs',
    from: /^(apps|packages)\/[^/]+\/src\//,
    except:
      /^packages\/(heygen-standin\/src\/media\/|lipsync-core\/src\/(media\/|processes\/|providers\/wav2lip\/engine\/(engine-child|try-model-apart)\.ts$|cli\/doctor-command\.ts$))|\.test\.ts$|\/testing\//,
    to: /^node:child_process$/,
  },
  {
    name: 'contract/ imports nothing from the rest of the core',
    from: /^packages\/lipsync-core\/src\/contract\//,
    except: testCode,
    to: /^packages\/(?!lipsync-core\/src\/contract\/)/,
  },
  {
    name: 'errors/ imports nothing from the rest of the core',
    from: /^packages\/lipsync-core\/src\/errors\//,
    except: testCode,
    to: /^packages\/(?!lipsync-core\/src\/errors\/)/,
  },
  {
    name: 'the product knows no stand-in',
    from: /^(apps\/|packages\/(?!heygen-standin\/))/,
    except: testCode,
    to: /^packages\/heygen-standin\//,
  },
  // It would agree with our mistakes.
  {
    name: 'the stand-in knows nothing of the product',
    from: /^packages\/heygen-standin\//,
    to: /^packages\/(?!heygen-standin\/)/,
  },
  { name: 'the product imports no test code', from: /^(apps|packages)\/[^/]+\/src\//, except: testCode, to: testCode },
];
