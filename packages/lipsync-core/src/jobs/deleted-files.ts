/** The files of an ended job that were deleted because of their age. A field is absent while the files exist. */
export interface DeletedFiles {
  /** When the stored inputs were deleted. */
  readonly inputsDeletedAtMs?: number;
  /** When the output was deleted. */
  readonly outputDeletedAtMs?: number;
}
