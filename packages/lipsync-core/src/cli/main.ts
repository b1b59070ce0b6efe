#!/usr/bin/env node
import { createCommandLine } from './command-line.ts';

// Not process.exit(): pipes that are still being written to would be cut off.
process.exitCode = await createCommandLine({ stdout: process.stdout, stderr: process.stderr }).run(
  process.argv.slice(2),
);
