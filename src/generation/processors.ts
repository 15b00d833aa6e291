/**
 * The chain of processors that settings ask for, in transformers' order: first what changes scores in every mode, then
 * the caller's own, then (sampling only) temperature and the cut-offs, at last the renormalisation.
 */
import { InputError } from '../core/errors.ts';
import type { Sequences } from './decoder.ts';
import {
  badWords,
  encoderNoRepeatNgram,
  encoderRepetitionPenalty,
  noRepeatNgram,
  repetitionPenalty,
  sequenceBias,
} from './history.ts';
import {
  exponentialDecay,
  forcedBos,
  forcedEos,
  minLength,
  prefixAllowedTokens,
  removeInvalidValues,
  suppressTokens,
  suppressTokensAt,
} from './length.ts';
import type { LogitsProcessor } from './processor.ts';
import { epsilonCutoff, etaCutoff, minP, renormalise, temperature, topK, topP, typicalP } from './sampling-cutoffs.ts';
import { type GenerationSettings, idList } from './settings.ts';

/** Chooses the ids that may follow. @param batch rows / numBeams @param ids so far @returns ids, at least one */
export type PrefixAllowedTokens = (batch: number, ids: readonly number[]) => readonly number[];

/** What the chain depends on besides the settings. */
export interface ChainContext {
  /** Ids of a row's prompt. */
  readonly promptLength: number;
  /** Longest sequence, the prompt included. */
  readonly maxLength: number;
  /** [inputs] ids of the encoder, or of the prompts where there is no encoder. */
  readonly encoderIds: Sequences;
  readonly logitsProcessor?: readonly LogitsProcessor[] | undefined;
  readonly prefixAllowedTokensFn?: PrefixAllowedTokens | undefined;
}

/**
 * Builds the chain; settings that change nothing add no link.
 * @throws InputError where a setting needs an end id and there is none
 * @see transformers GenerationMixin._get_logits_processor
 */
export function buildProcessors(settings: GenerationSettings, context: ChainContext): LogitsProcessor[] {
  return [
    ...historyLinks(settings, context),
    ...lengthLinks(settings, context),
    ...(context.logitsProcessor ?? []),
    ...(settings.doSample ? samplingLinks(settings) : []),
    ...(settings.renormalizeLogits ? [renormalise()] : []),
  ];
}

function historyLinks(s: GenerationSettings, { encoderIds }: ChainContext): LogitsProcessor[] {
  const links: LogitsProcessor[] = [];
  if (s.sequenceBias) links.push(sequenceBias(s.sequenceBias));
  if (isSet(s.encoderRepetitionPenalty, 1))
    links.push(encoderRepetitionPenalty(s.encoderRepetitionPenalty, encoderIds));
  if (isSet(s.repetitionPenalty, 1)) links.push(repetitionPenalty(s.repetitionPenalty));
  if (isSet(s.noRepeatNgramSize, 0)) links.push(noRepeatNgram(s.noRepeatNgramSize));
  if (isSet(s.encoderNoRepeatNgramSize, 0)) links.push(encoderNoRepeatNgram(s.encoderNoRepeatNgramSize, encoderIds));
  if (s.badWordsIds) links.push(badWords(s.badWordsIds, idList(s.eosTokenId)));
  return links;
}

function lengthLinks(s: GenerationSettings, context: ChainContext): LogitsProcessor[] {
  const { promptLength, maxLength } = context;
  const links: LogitsProcessor[] = [];
  const eosIds = idList(s.eosTokenId);
  const least = s.minNewTokens === null ? (s.minLength ?? 0) : s.minNewTokens + promptLength;
  if (least > 0 && eosIds.length > 0) links.push(minLength(least, eosIds));
  if (context.prefixAllowedTokensFn) links.push(prefixAllowedTokens(context.prefixAllowedTokensFn, s.numBeams));
  if (s.forcedBosTokenId !== null) links.push(forcedBos(s.forcedBosTokenId));
  if (s.forcedEosTokenId !== null) links.push(forcedEos(idList(s.forcedEosTokenId), maxLength));
  if (s.removeInvalidValues) links.push(removeInvalidValues());
  if (s.exponentialDecayLengthPenalty) {
    const [start, factor] = s.exponentialDecayLengthPenalty;
    if (eosIds.length === 0) throw needsEos('exponentialDecayLengthPenalty');
    links.push(exponentialDecay(start, factor, eosIds, promptLength));
  }
  if (s.suppressTokens) links.push(suppressTokens(s.suppressTokens));
  if (s.beginSuppressTokens) {
    // A forced first id stands where the text would begin.
    const begin = promptLength === 1 && s.forcedBosTokenId !== null ? 2 : promptLength;
    links.push(suppressTokensAt(s.beginSuppressTokens, begin));
  }
  return links;
}

function samplingLinks(s: GenerationSettings): LogitsProcessor[] {
  const links: LogitsProcessor[] = [];
  // Beams need one more candidate than there are ways to end, or none may go on.
  const keep = s.numBeams > 1 ? Math.max(2, idList(s.eosTokenId).length + 1) : 1;
  if (isSet(s.temperature, 1)) links.push(temperature(s.temperature));
  if (isSet(s.topK, 0)) links.push(topK(s.topK, keep));
  if (isSet(s.topP, 1)) links.push(topP(s.topP, keep));
  if (s.minP !== null) links.push(minP(s.minP, keep));
  if (isSet(s.typicalP, 1)) links.push(typicalP(s.typicalP, keep));
  if (isSet(s.epsilonCutoff, 0)) links.push(epsilonCutoff(s.epsilonCutoff, keep));
  if (isSet(s.etaCutoff, 0)) links.push(etaCutoff(s.etaCutoff, keep));
  return links;
}

function isSet(value: number | null, neutral: number): value is number {
  return value !== null && value !== neutral;
}

function needsEos(path: string): InputError {
  return new InputError({
    op: 'generate',
    problem: 'this setting needs an id that ends a text',
    received: 'none',
    path,
    fix: 'Give eosTokenId.',
  });
}
