/** Arguments of transformers' generate that there are not here: each is refused by name, never passed over. */
import { InputError } from '../core/errors.ts';

interface Refusal {
  /** Values that ask for nothing, apart from null and undefined. */
  readonly neutral: readonly unknown[];
  /** Says where the ids do not depend on it: a model's file may then hold any value. */
  readonly sameIds?: boolean;
  readonly instead: string;
}

const NO_ASSISTANT = 'There is no assisted generation: leave it out.';
const NO_CACHE_CHOICE = 'There is one cache, of fixed size and always in use: leave it out.';
const NO_COMPILER = 'There is nothing to compile: leave it out.';
const NO_CONSTRAINTS = 'There is no constrained beam search: use prefixAllowedTokensFn or sequenceBias.';
const NO_EMBEDS = 'Inputs are ids: give them, or the texts.';
const NO_HEAD_MASK = 'All heads count: leave it out.';
const NO_GUIDANCE = 'There is no classifier-free guidance of text: leave it out.';
const NO_INTERNALS = 'Activations are not returned: use outputLogits or outputScores.';
const NO_REMOTE_CODE = 'No code is loaded: leave it out.';
const NO_GROUPS = 'There is no group beam search: use numBeams, or doSample with numBeams.';

const REFUSED: Readonly<Record<string, Refusal>> = {
  useCache: { neutral: [true], sameIds: true, instead: NO_CACHE_CHOICE },
  cacheImplementation: { neutral: [], sameIds: true, instead: NO_CACHE_CHOICE },
  cacheConfig: { neutral: [], sameIds: true, instead: NO_CACHE_CHOICE },
  returnLegacyCache: { neutral: [false], sameIds: true, instead: NO_CACHE_CHOICE },
  prefillChunkSize: { neutral: [], sameIds: true, instead: 'Prompts are fed whole: leave it out.' },
  tokenHealing: { neutral: [false], instead: 'There is no token healing: cut the prompt before its last token.' },
  guidanceScale: { neutral: [1], instead: NO_GUIDANCE },
  negativePromptIds: { neutral: [], instead: NO_GUIDANCE },
  negativePromptAttentionMask: { neutral: [], instead: NO_GUIDANCE },
  watermarkingConfig: { neutral: [], instead: 'There are no watermarks: leave it out, or give a logitsProcessor.' },
  outputAttentions: { neutral: [false], sameIds: true, instead: NO_INTERNALS },
  outputHiddenStates: { neutral: [false], sameIds: true, instead: NO_INTERNALS },
  returnDictInGenerate: { neutral: [true], sameIds: true, instead: 'The result is always an object: leave it out.' },
  isAssistant: { neutral: [false], instead: NO_ASSISTANT },
  numAssistantTokens: { neutral: [], sameIds: true, instead: NO_ASSISTANT },
  numAssistantTokensSchedule: { neutral: [], sameIds: true, instead: NO_ASSISTANT },
  assistantConfidenceThreshold: { neutral: [], sameIds: true, instead: NO_ASSISTANT },
  promptLookupNumTokens: { neutral: [], instead: NO_ASSISTANT },
  maxMatchingNgramSize: { neutral: [], sameIds: true, instead: NO_ASSISTANT },
  assistantEarlyExit: { neutral: [], instead: NO_ASSISTANT },
  assistantLookbehind: { neutral: [], sameIds: true, instead: NO_ASSISTANT },
  targetLookbehind: { neutral: [], sameIds: true, instead: NO_ASSISTANT },
  assistantModel: { neutral: [], instead: NO_ASSISTANT },
  assistantTokenizer: { neutral: [], instead: NO_ASSISTANT },
  compileConfig: { neutral: [], sameIds: true, instead: NO_COMPILER },
  disableCompile: { neutral: [true, false], sameIds: true, instead: NO_COMPILER },
  lowMemory: { neutral: [false], instead: 'All beams run side by side: leave it out.' },
  penaltyAlpha: { neutral: [0], instead: 'There is no contrastive search: use doSample with topK, or numBeams.' },
  dolaLayers: { neutral: [], instead: 'There is no decoding by contrasting layers: leave it out.' },
  diversityPenalty: { neutral: [0], instead: NO_GROUPS },
  numBeamGroups: { neutral: [1], instead: NO_GROUPS },
  constraints: { neutral: [], instead: NO_CONSTRAINTS },
  forceWordsIds: { neutral: [], instead: NO_CONSTRAINTS },
  syncedGpus: { neutral: [false], instead: 'There is one device: leave it out.' },
  customGenerate: { neutral: [], instead: NO_REMOTE_CODE },
  trustRemoteCode: { neutral: [false], instead: NO_REMOTE_CODE },
  useModelDefaults: {
    neutral: [true],
    instead: 'The settings of the model’s files always count: override them one by one.',
  },
  generationConfig: { neutral: [], instead: 'Give the settings themselves; readGenerationDefaults reads files.' },
  decoderAttentionMask: { neutral: [], instead: 'Answers begin with unpadded ids: leave it out.' },
  inputsEmbeds: { neutral: [], instead: NO_EMBEDS },
  decoderInputsEmbeds: { neutral: [], instead: NO_EMBEDS },
  encoderOutputs: { neutral: [], instead: 'The encoder runs in each call: give the texts or their ids.' },
  pastKeyValues: { neutral: [], instead: NO_CACHE_CHOICE },
  cachePosition: { neutral: [], instead: NO_CACHE_CHOICE },
  headMask: { neutral: [], instead: NO_HEAD_MASK },
  decoderHeadMask: { neutral: [], instead: NO_HEAD_MASK },
  crossAttnHeadMask: { neutral: [], instead: NO_HEAD_MASK },
  labels: { neutral: [], instead: 'There is no training: use logits() for the scores of given answers.' },
  streamer: { neutral: [], instead: 'Use onToken.' },
  tokenizer: { neutral: [], instead: 'Use tokenText.' },
};

/**
 * Refuses what is not there.
 * @param name of an argument, in camelCase or as files write it
 * @param file where it stands; absent for arguments of a call
 * @throws InputError for a refused argument, unless its value asks for nothing
 */
export function checkRefused(name: string, value: unknown, file?: string): void {
  const key = camelCase(name);
  const refusal = Object.hasOwn(REFUSED, key) ? REFUSED[key] : undefined;
  if (!refusal || value === null || value === undefined || refusal.neutral.includes(value)) return;
  if (file !== undefined && refusal.sameIds) return;
  throw new InputError({
    op: 'generate',
    problem: `${name} is not supported`,
    value,
    ...(file === undefined ? {} : { path: file }),
    fix: refusal.instead,
  });
}

/** The names of all refused arguments, in camelCase. */
export function refusedNames(): readonly string[] {
  return Object.keys(REFUSED);
}

/** `topK` for `top_k`. */
export function camelCase(name: string): string {
  return name.replace(/(?<=[a-z])_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
