/** The numbers and switches of generation: their defaults, what they may be, and reading them from a model's files. */
import { InputError } from '../core/errors.ts';
import type { Sequences } from './decoder.ts';
import type { SequenceBias } from './history.ts';
import { checkRefused } from './refused.ts';

/** transformers' GenerationConfig in camelCase; null turns a setting off. Lengths are in ids. */
export interface GenerationSettings {
  /** Longest sequence, the prompt included. The default of 20 counts new ids when no file and no caller sets it. */
  maxLength: number | null;
  /** The same without the prompt; goes before maxLength. */
  maxNewTokens: number | null;
  /** Shortest sequence, the prompt included. */
  minLength: number | null;
  /** The same without the prompt; goes before minLength. */
  minNewTokens: number | null;
  /** Beams: stop at numBeams finished texts; by the best running score; only when nothing can improve ('never'). */
  earlyStopping: boolean | 'never';
  /** Seconds after which no further step begins. */
  maxTime: number | null;
  /** Texts that end a sequence; need `tokenText`. */
  stopStrings: string | readonly string[] | null;
  /** Draws ids by their probability instead of taking the likeliest. Default false. */
  doSample: boolean;
  /** Beams kept for each input, at least 1. Default 1: no beam search. */
  numBeams: number;
  /** Sequences returned for each input, at most numBeams where there are beams and no draws. Default 1. */
  numReturnSequences: number;
  /** Scores are divided by it before a draw, > 0. Default 1; only with doSample. */
  temperature: number | null;
  /** Only so many likeliest ids may be drawn; 0 turns it off. Default 50; only with doSample. */
  topK: number | null;
  /** Only the likeliest ids whose probabilities sum up to it may be drawn, 0 to 1. Default 1: all. */
  topP: number | null;
  /** Only ids with at least this share of the largest probability may be drawn, 0 to 1. Default null: all. */
  minP: number | null;
  /** Only ids of typical information that sum up to this probability may be drawn, in (0, 1]. Default 1: all. */
  typicalP: number | null;
  /** Only ids of at least this probability may be drawn, in [0, 1). Default 0: all. */
  epsilonCutoff: number | null;
  /** As epsilonCutoff, lower where the distribution is flat, in [0, 1). Default 0: all. */
  etaCutoff: number | null;
  /** Scores of ids that stand in the sequence are divided by it (multiplied where negative), > 0. Default 1. */
  repetitionPenalty: number | null;
  /** Favours ids of the encoder's input in the same way, > 0. Default 1. */
  encoderRepetitionPenalty: number | null;
  /** Beams: a finished text's score is divided by its new ids to this power. */
  lengthPenalty: number;
  /** No run of so many ids occurs twice; 0 turns it off. Default 0. */
  noRepeatNgramSize: number | null;
  /** No run of so many ids of the encoder's input occurs; 0 turns it off. Default 0. */
  encoderNoRepeatNgramSize: number | null;
  /** Runs of ids that never occur. Default null: none. */
  badWordsIds: Sequences | null;
  /** Takes log-probabilities again after all processors. Default false. */
  renormalizeLogits: boolean;
  /** The first id after the start id. Default null: free. */
  forcedBosTokenId: number | null;
  /** The id, or one of the ids, that comes last where the longest length is reached. Default null: free. */
  forcedEosTokenId: number | readonly number[] | null;
  /** Replaces NaN by 0 and infinities by the largest floats before each choice. Default false. */
  removeInvalidValues: boolean;
  /** [new ids before it starts, growth per id]. */
  exponentialDecayLengthPenalty: readonly [number, number] | null;
  /** Ids that are never chosen. Default null: none. */
  suppressTokens: readonly number[] | null;
  /** Ids that are not chosen first. Default null: none. */
  beginSuppressTokens: readonly number[] | null;
  /** What is added to the score of the last id of each run. Default null: nothing. */
  sequenceBias: readonly SequenceBias[] | null;
  /** Returns the processed scores of each step. Default false. */
  outputScores: boolean;
  /** Returns the raw scores of each step. Default null: no. */
  outputLogits: boolean | null;
  /** Fills sequences that are done; the end id where null. */
  padTokenId: number | null;
  /** Begins a sequence where no decoderStartTokenId is set. Default null. */
  bosTokenId: number | null;
  /** The id, or one of the ids, that ends a sequence; with null only the length does. */
  eosTokenId: number | readonly number[] | null;
  /** One id, or one for each input. */
  decoderStartTokenId: number | readonly number[] | null;
}

/** Settings that a model's files name. */
export type GenerationDefaults = Readonly<Partial<GenerationSettings>>;

interface Rule<T> {
  readonly initial: T;
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
}

type Test = (value: unknown) => boolean;

const isId: Test = value => isWhole(value, 0);
const isIds: Test = value => Array.isArray(value) && value.every(isId);
const isIdsOfSome: Test = value => isIds(value) && (value as number[]).length > 0;
const isBias: Test = value =>
  Array.isArray(value) && value.length === 2 && isIdsOfSome(value[0]) && typeof value[1] === 'number';
const isStop: Test = value => typeof value === 'string' && value !== '';

const RULES: { readonly [K in keyof GenerationSettings]: Rule<GenerationSettings[K]> } = {
  maxLength: orNull(whole(20, 1)),
  maxNewTokens: orNull(whole(null, 1)),
  minLength: orNull(whole(0, 0)),
  minNewTokens: orNull(whole(null, 0)),
  earlyStopping: rule(false, 'true, false or never', value => typeof value === 'boolean' || value === 'never'),
  maxTime: orNull(number(null, '> 0', x => x > 0)),
  stopStrings: orNull(
    rule(null, 'a text or texts', value => isStop(value) || (Array.isArray(value) && value.every(isStop))),
  ),
  doSample: flag(false),
  numBeams: whole(1, 1),
  numReturnSequences: whole(1, 1),
  temperature: orNull(number(1, '>= 0', x => x >= 0)),
  topK: orNull(whole(50, 0)),
  topP: orNull(number(1, 'from 0 to 1', x => x >= 0 && x <= 1)),
  minP: orNull(number(null, 'from 0 to 1', x => x >= 0 && x <= 1)),
  typicalP: orNull(number(1, 'above 0, at most 1', x => x > 0 && x <= 1)),
  epsilonCutoff: orNull(number(0, 'from 0, below 1', x => x >= 0 && x < 1)),
  etaCutoff: orNull(number(0, 'from 0, below 1', x => x >= 0 && x < 1)),
  repetitionPenalty: orNull(number(1, '> 0', x => x > 0)),
  encoderRepetitionPenalty: orNull(number(1, '> 0', x => x > 0)),
  lengthPenalty: number(1, 'that is finite', () => true),
  noRepeatNgramSize: orNull(whole(0, 0)),
  encoderNoRepeatNgramSize: orNull(whole(0, 0)),
  badWordsIds: orNull(rule(null, 'lists of ids', value => Array.isArray(value) && value.every(isIdsOfSome))),
  renormalizeLogits: flag(false),
  forcedBosTokenId: orNull(rule(null, 'an id', isId)),
  forcedEosTokenId: orNull(rule(null, 'an id or ids', value => isId(value) || isIdsOfSome(value))),
  removeInvalidValues: flag(false),
  exponentialDecayLengthPenalty: orNull(
    rule(null, 'a whole number and a factor', value => Array.isArray(value) && value.length === 2 && isDecay(value)),
  ),
  suppressTokens: orNull(rule(null, 'ids', isIds)),
  beginSuppressTokens: orNull(rule(null, 'ids', isIds)),
  sequenceBias: orNull(
    rule(null, '[[ids, bias], …]', value => Array.isArray(value) && value.length > 0 && value.every(isBias)),
  ),
  outputScores: flag(false),
  outputLogits: orNull(flag(null)),
  padTokenId: orNull(rule(null, 'an id', isId)),
  bosTokenId: orNull(rule(null, 'an id', isId)),
  eosTokenId: orNull(rule(null, 'an id or ids', value => isId(value) || isIdsOfSome(value))),
  decoderStartTokenId: orNull(rule(null, 'an id or ids', value => isId(value) || isIdsOfSome(value))),
};

/** Fields of config.json that let it replace a generation_config.json which was once made from it. */
const LEGACY_FIELDS: readonly (keyof GenerationSettings)[] = [
  'maxLength',
  'minLength',
  'doSample',
  'earlyStopping',
  'numBeams',
  'temperature',
  'topK',
  'topP',
  'typicalP',
  'repetitionPenalty',
  'lengthPenalty',
  'noRepeatNgramSize',
  'encoderNoRepeatNgramSize',
  'badWordsIds',
  'numReturnSequences',
  'outputScores',
  'forcedBosTokenId',
  'forcedEosTokenId',
  'removeInvalidValues',
  'exponentialDecayLengthPenalty',
  'suppressTokens',
  'beginSuppressTokens',
];

type Json = Readonly<Record<string, unknown>>;

/**
 * Settings from a model's files. generation_config.json counts where there is one, config.json (its decoder's part
 * too) where there is none; also where the former was made from the latter (`_from_model_config`) and the latter sets
 * one of the old generation fields. Never both.
 * @param generationConfig the parsed generation_config.json
 * @param modelConfig the parsed config.json, or the part of it that the decoder is made from
 * @throws InputError for a value of the wrong kind, or a way of generating that there is not
 * @see transformers GenerationConfig.from_model_config
 */
export function readGenerationDefaults(generationConfig?: Json, modelConfig?: Json): GenerationDefaults {
  if (!generationConfig) return modelConfig ? fromModelConfig(modelConfig) : {};
  const own = fromJson(generationConfig, 'generation_config.json', true);
  if (generationConfig['_from_model_config'] !== true || !modelConfig) return own;
  const fromModel = fromModelConfig(modelConfig);
  const changed = LEGACY_FIELDS.some(key => key in fromModel && fromModel[key] !== RULES[key].initial);
  return changed ? fromModel : own;
}

/**
 * Defaults, then the files' settings, then the caller's.
 * @throws InputError for a value of the wrong kind
 */
export function mergeSettings(defaults: GenerationDefaults, options: GenerationDefaults): GenerationSettings {
  const merged: Record<string, unknown> = {};
  for (const [key, { initial }] of Object.entries(RULES)) merged[key] = initial;
  for (const source of [defaults, options]) {
    for (const key of settingNames()) {
      if (source[key] !== undefined) merged[key] = checked(key, source[key], key);
    }
  }
  return merged as unknown as GenerationSettings;
}

/** Every setting's name. */
export function settingNames(): readonly (keyof GenerationSettings)[] {
  return Object.keys(RULES) as (keyof GenerationSettings)[];
}

/** One id, several or none, as a list. */
export function idList(ids: number | readonly number[] | null): readonly number[] {
  if (ids === null) return [];
  return typeof ids === 'number' ? [ids] : ids;
}

/** `top_k` for `topK`. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
}

function fromModelConfig(config: Json): GenerationDefaults {
  const outer = fromJson(config, 'config.json', false);
  const decoder = [config['decoder'], config['generator'], config['text_config']].find(isObject);
  if (!decoder) return outer;
  const inner = fromJson(decoder, 'config.json: decoder', false);
  const unset = Object.entries(inner).filter(([key]) => {
    const name = key as keyof GenerationSettings;
    return outer[name] === undefined || outer[name] === RULES[name].initial;
  });
  return { ...outer, ...Object.fromEntries(unset) };
}

function fromJson(json: Json, file: string, keepNull: boolean): GenerationDefaults {
  for (const [key, value] of Object.entries(json)) checkRefused(key, value, file);
  const found: Record<string, unknown> = {};
  for (const key of settingNames()) {
    const value = json[snakeCase(key)];
    if (value === undefined || (value === null && !keepNull)) continue;
    found[key] = checked(key, value, `${file}: ${snakeCase(key)}`);
  }
  return found;
}

function checked(key: keyof GenerationSettings, value: unknown, path: string): unknown {
  const { accepts, expected } = RULES[key];
  if (accepts(value)) return value;
  throw new InputError({ op: 'generate', problem: 'no value for this setting', expected, value, path });
}

function rule<T>(initial: T, expected: string, accepts: Test): Rule<T> {
  return { initial, expected, accepts };
}

function orNull<T>({ initial, expected, accepts }: Rule<T>): Rule<T | null> {
  return { initial, expected: `${expected} or null`, accepts: value => value === null || accepts(value) };
}

function flag<T extends boolean | null>(initial: T): Rule<T | boolean> {
  return { initial, expected: 'true or false', accepts: value => typeof value === 'boolean' };
}

function whole<T extends number | null>(initial: T, least: number): Rule<T | number> {
  return { initial, expected: `a whole number >= ${least}`, accepts: value => isWhole(value, least) };
}

function number<T extends number | null>(initial: T, range: string, inside: (x: number) => boolean): Rule<T | number> {
  const accepts = (value: unknown) => typeof value === 'number' && Number.isFinite(value) && inside(value);
  return { initial, expected: `a number ${range}`, accepts };
}

function isWhole(value: unknown, least: number): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least;
}

function isDecay([start, factor]: readonly unknown[]): boolean {
  return isWhole(start, 0) && typeof factor === 'number' && Number.isFinite(factor) && factor > 0;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
