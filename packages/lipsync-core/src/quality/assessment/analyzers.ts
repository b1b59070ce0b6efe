import type { AnalyzerDefinition } from '../analyzer.ts';
import { lipAnalyzer } from '../lips/lip-analyzer.ts';

/** Every analyzer, in the order in which findings are merged: a later one overrides `sync` of an earlier one. */
export const analyzers: readonly AnalyzerDefinition[] = [lipAnalyzer];
