/**
 * Importing this module throws on an older Node. It is the first import of an entry point, so that the user reads this
 * message instead of an error about a missing feature. Modules that an entry point imports statically must link on older
 * versions: names that those lack are read from the default export of a built-in module.
 */
export const oldestNodeMajor = 24;

if (Number.parseInt(process.versions.node, 10) < oldestNodeMajor)
  throw new Error(
    `@lipsync/core needs Node ${oldestNodeMajor} or later, and this is Node ${process.versions.node} (${process.execPath}). Install it from https://nodejs.org.`,
  );
