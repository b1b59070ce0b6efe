import type { Fingerprint } from '../../fingerprint/fingerprint.ts';
import type { Quality, QualityGrade, QualityLabel, QualityPart, SyncQuality } from '../../contract/quality.ts';
import { toPart, type AnalyzerDefinition, type Findings, type QualityTrace } from '../analyzer.ts';
import { unknownSync } from '../lips/lip-sync.ts';

/** Increase it whenever the same video would give other figures. */
const methodVersion = 'lipsync-quality-4';

/** A quality with its trace. */
export interface MeasuredQuality {
  readonly quality: Quality;
  readonly trace: QualityTrace;
  /** Absent unless the input asks for it. */
  readonly fingerprint?: Fingerprint;
}

/** Findings of one analyzer, or why it failed. */
export interface AnalyzerOutcome {
  readonly definition: AnalyzerDefinition;
  readonly findings: Findings;
}

/** A trace without a measured frame. */
export const emptyTrace: QualityTrace = {
  frameRate: 25,
  lipOpening: [],
  sourceLipOpening: null,
  speechLevelDb: [],
  voiced: [],
  offsetCurve: [],
  distanceCurve: null,
  syncConfidence: null,
  pictures: [],
};

/** Joins the findings of all analyzers. Every part of every analyzer appears; what was not measured is null. */
export function mergeFindings(outcomes: readonly AnalyzerOutcome[], hasSource: boolean): MeasuredQuality {
  const all = outcomes.map(({ findings }) => findings);
  const parts: Record<string, QualityPart> = Object.assign({}, ...all.map((findings) => findings.parts));
  const sync: SyncQuality | null = all.some((findings) => findings.sync)
    ? Object.assign(unknownSync(null), ...all.map((findings) => findings.sync))
    : null;
  const labels = all.flatMap((findings) => findings.labels ?? []).toSorted(byWeight);
  // Lips that do not move have no sync to score; the label names the fault.
  const isFrozen = labels.some(({ code }) => code === 'mouth_frozen');
  const syncScore = isFrozen ? null : (all.findLast(({ syncScore: score }) => score !== undefined)?.syncScore ?? null);
  const fingerprint = all.find((findings) => findings.fingerprint)?.fingerprint;
  const definitions = outcomes.flatMap(({ definition }) => definition.parts);
  const combined = (countsIn: 'audio_quality' | 'video_quality'): number | null =>
    combineScores(definitions.filter((part) => part.countsIn === countsIn).map(({ name }) => parts[name]?.score));
  return {
    quality: {
      syncScore,
      audioQuality: combined('audio_quality'),
      videoQuality: combined('video_quality'),
      grade: gradeOf(syncScore),
      sync,
      parts,
      source: hasSource ? Object.assign({}, ...all.map((findings) => findings.source)) : null,
      labels,
      methodVersion,
      models: Object.assign({}, ...all.map((findings) => findings.models)),
    },
    trace: Object.assign({ ...emptyTrace }, ...all.map((findings) => findings.trace)),
    ...(fingerprint && { fingerprint }),
  };
}

/** A quality in which nothing was measured. */
export function unknownQuality(
  definitions: readonly AnalyzerDefinition[],
  reason: string,
  hasSource: boolean,
): MeasuredQuality {
  const outcomes = definitions.map((definition) => ({ definition, findings: failedFindings(definition, reason) }));
  return mergeFindings([...outcomes], hasSource);
}

/** Null parts with a reason, for an analyzer that failed or did not run. */
export function failedFindings({ parts }: AnalyzerDefinition, reason: string): Findings {
  return { parts: Object.fromEntries(parts.map((part) => [part.name, toPart(part, null, reason)])) };
}

/** Fatal labels first, then those that exceed their threshold most. */
function byWeight(one: QualityLabel, other: QualityLabel): number {
  return Number(other.fatal) - Number(one.fatal) || excessOf(other) - excessOf(one);
}

/** How many times the threshold is exceeded, in either direction; 1 for labels whose threshold is 0. */
function excessOf({ value, threshold }: QualityLabel): number {
  if (threshold === 0) return 1;
  const ratio = Math.abs(value / threshold);
  return Math.max(ratio, 1 / Math.max(ratio, Number.EPSILON));
}

/** Grades by the score of SyncNet alone: without it the grade is unknown. */
function gradeOf(syncScore: number | null): QualityGrade {
  if (syncScore === null) return 'unknown';
  if (syncScore >= 0.85) return 'very_good';
  return syncScore >= 0.7 ? 'good' : 'poor';
}

/**
 * The lowest score, rounded to three digits: a picture or sound is as good as its worst part. Null when none was
 * measured.
 */
function combineScores(scores: readonly (number | null | undefined)[]): number | null {
  const known = scores.filter((score) => typeof score === 'number');
  return known.length === 0 ? null : Math.round(Math.min(...known) * 1000) / 1000;
}
