#!/usr/bin/env node

// Imported dynamically, because on an older Node the rest of the program may not link.
try {
  await import('../errors/require-node.ts');
  const { createCommandLine } = await import('./command-line.ts');
  // Not process.exit(): pipes that are still being written to would be cut off.
  process.exitCode = await createCommandLine(process).run(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
