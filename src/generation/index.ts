/** Text generation: the decoder's interface, the settings, the processors, and `generate` itself. */
export type { Sequences, StartDecoder, StepDecoder } from './decoder.ts';
export { generate } from './generate.ts';
export {
  badWords,
  encoderNoRepeatNgram,
  encoderRepetitionPenalty,
  noRepeatNgram,
  repetitionPenalty,
  type SequenceBias,
  sequenceBias,
} from './history.ts';
export {
  exponentialDecay,
  forcedBos,
  forcedEos,
  minLength,
  prefixAllowedTokens,
  removeInvalidValues,
  suppressTokens,
  suppressTokensAt,
} from './length.ts';
export { planGeneration } from './plan.ts';
export type { LogitsProcessor } from './processor.ts';
export { buildProcessors, type ChainContext, type PrefixAllowedTokens } from './processors.ts';
export {
  epsilonCutoff,
  etaCutoff,
  minP,
  renormalise,
  temperature,
  topK,
  topP,
  typicalP,
} from './sampling-cutoffs.ts';
export { type GenerationDefaults, type GenerationSettings, readGenerationDefaults } from './settings.ts';
export type { StoppingCriterion } from './stopping.ts';
export { type TokenTextSource, tokenTextOf, withTokenText } from './token-text.ts';
export type { GenerateOptions, GenerateOutput, GenerationInputs, GenerationTask, TokenEvent } from './types.ts';
