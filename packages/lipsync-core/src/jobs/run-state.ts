/** The part of a record that is about the runs of the job. */
export interface RunState {
  /** Number of runs started so far. Events of any run but the latest are ignored. */
  readonly runs: number;
  /**
   * Number of runs in a row that ended without recording an outcome, for example because the worker was killed. A run
   * that parks the job while the vendor works on its operation ends the row, and so does a wait for storage.
   */
  readonly crashes: number;
  /** Random id of the latest run; absent if none was given. */
  readonly runId?: string;
  /** W3C traceparent of the span of the last run, to which that of the next one links; absent without tracing. */
  readonly runTraceparent?: string;
}
