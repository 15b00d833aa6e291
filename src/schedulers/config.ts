/**
 * Scheduler configs: typed camelCase fields in TypeScript, snake_case in scheduler_config.json, and the rules by which
 * one scheduler is made from another's config without losing what only the other understands.
 */

import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { BetaSchedule } from './betas.ts';
import { extraFieldsOf, INTERCHANGEABLE } from './foreign-fields.ts';
import type { TimestepSpacing } from './timesteps.ts';

/** What the network's output means: the noise, the clean sample, or v = sqrt(acp) noise - sqrt(1 - acp) sample. */
export type PredictionType = 'epsilon' | 'sample' | 'v_prediction';

/** Settings that every scheduler class has, with diffusers' meaning. */
export interface ScheduleFields {
  /** Number T of noise levels that the model was trained on. */
  readonly numTrainTimesteps: number;
  /** First beta. */
  readonly betaStart: number;
  /** Last beta. */
  readonly betaEnd: number;
  /** How beta grows with the timestep; 'sigmoid' for DDPMScheduler only. */
  readonly betaSchedule: BetaSchedule | 'sigmoid';
  /** The betas themselves, at least T of them, instead of a schedule. */
  readonly trainedBetas: readonly number[] | null;
  /** Added to every timestep of 'leading' spacing. */
  readonly stepsOffset: number;
  /** What the network's output means. */
  readonly predictionType: PredictionType;
  /** How the timesteps of a run are spread. */
  readonly timestepSpacing: TimestepSpacing;
}

/** Settings of DDIMInverseScheduler, with diffusers' meaning. */
export interface DDIMInverseFields extends ScheduleFields {
  /** Number T of noise levels that the model was trained on. Default 1000. */
  readonly numTrainTimesteps: number;
  /** First beta. Default 0.0001; Stable Diffusion 0.00085. */
  readonly betaStart: number;
  /** Last beta. Default 0.02; Stable Diffusion 0.012. */
  readonly betaEnd: number;
  /** Default 'linear'; Stable Diffusion 'scaled_linear'. */
  readonly betaSchedule: BetaSchedule;
  /** The betas themselves, at least T of them, instead of a schedule. Default null. */
  readonly trainedBetas: readonly number[] | null;
  /** Clamps the predicted clean sample. Default true; Stable Diffusion false. */
  readonly clipSample: boolean;
  /** Bound of that clamp. Default 1. */
  readonly clipSampleRange: number;
  /** Takes 1 as the signal level beyond timestep 0, else acp[0]. Default true; Stable Diffusion false. */
  readonly setAlphaToOne: boolean;
  /** Added to every timestep of 'leading' spacing. Default 0; Stable Diffusion 1. */
  readonly stepsOffset: number;
  /** Default 'epsilon'; Stable Diffusion 2.1 'v_prediction'. */
  readonly predictionType: PredictionType;
  /** Default 'leading'; the inverse scheduler has no 'linspace'. */
  readonly timestepSpacing: TimestepSpacing;
  /** Rescales the betas so that the last level holds no signal. Default false. */
  readonly rescaleBetasZeroSnr: boolean;
}

/** Settings of DDIMScheduler: those of its inverse and dynamic thresholding. */
export interface DDIMFields extends DDIMInverseFields {
  /** Clamps the predicted clean sample at a quantile of its magnitudes; wins over clipSample. Default false. */
  readonly thresholding: boolean;
  /** That quantile, 0 to 1. Default 0.995. */
  readonly dynamicThresholdingRatio: number;
  /** Upper bound of the threshold, whose lower bound is 1. Default 1. */
  readonly sampleMaxValue: number;
}

/** A parsed scheduler_config.json. */
export type SchedulerJson = Readonly<Record<string, unknown>>;

/** What a config keeps besides its fields. */
export interface StoredConfig {
  /** Everything under its JSON name: own fields, other schedulers' fields, `_use_default_values`. Not enumerable. */
  readonly stored: SchedulerJson;
  /** The scheduler_config.json form, keys sorted, as diffusers saves it. Not enumerable. */
  toJSON(): Record<string, unknown>;
}

/** A scheduler's complete, frozen settings. */
export type SchedulerConfig<F extends ScheduleFields = ScheduleFields> = Readonly<F> & StoredConfig;

/** Fields to set or override; `setAlphaToZero` is the old name of setAlphaToOne, which it overrides (inverse only). */
export type FieldsInput<F> = Partial<F> & {
  /** Overrides setAlphaToOne where it is given. */
  readonly setAlphaToZero?: boolean;
};

/** What fromConfig() reports to. */
export interface FromConfigOptions {
  /** Called with one sentence for fields that nobody knows, and for deprecated ones. */
  readonly onWarning?: (message: string) => void;
}

/** What distinguishes one scheduler class's config from another's. */
export interface ConfigKind<F extends ScheduleFields> {
  readonly className: string;
  readonly defaults: F;
  /** Classes whose fields are kept without a warning. */
  readonly compatible: readonly string[];
  /** An old field name that overrides set_alpha_to_one. */
  readonly alias?: string;
  /** By JSON name, what a field may hold where that is more than the type of its default. */
  readonly values?: Readonly<Record<string, FieldValues>>;
}

/** What a config field may hold. */
export interface FieldValues {
  /** In words, for the message. */
  readonly expected: string;
  /** Whether a value is such. */
  readonly fits: (value: unknown) => boolean;
}

/** The diffusers release whose config format and behaviour are reproduced. */
export const DIFFUSERS_VERSION = '0.34.0';

const INVERSE_DEFAULTS: DDIMInverseFields = {
  numTrainTimesteps: 1000,
  betaStart: 0.0001,
  betaEnd: 0.02,
  betaSchedule: 'linear',
  trainedBetas: null,
  clipSample: true,
  clipSampleRange: 1,
  setAlphaToOne: true,
  stepsOffset: 0,
  predictionType: 'epsilon',
  timestepSpacing: 'leading',
  rescaleBetasZeroSnr: false,
};

/** DDIMInverseScheduler's fields, defaults and old field name. */
export const DDIM_INVERSE: ConfigKind<DDIMInverseFields> = {
  className: 'DDIMInverseScheduler',
  defaults: INVERSE_DEFAULTS,
  compatible: [],
  alias: 'set_alpha_to_zero',
};

/** DDIMScheduler's fields, defaults and compatible classes. */
export const DDIM: ConfigKind<DDIMFields> = {
  className: 'DDIMScheduler',
  defaults: { ...INVERSE_DEFAULTS, thresholding: false, dynamicThresholdingRatio: 0.995, sampleMaxValue: 1 },
  compatible: INTERCHANGEABLE,
};

const WARNING = namesOf<FromConfigOptions>({ onWarning: 1 });

const snake = (name: string): string => name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);

/**
 * A config from fields alone; the rest gets the class's defaults and is remembered as such.
 * @param kind the scheduler class
 * @param fields camelCase fields
 * @returns the frozen config
 * @throws InputError for a name that is no field, or a value of the wrong type
 */
export function configFromFields<F extends ScheduleFields>(
  kind: ConfigKind<F>,
  fields: FieldsInput<F>,
): SchedulerConfig<F> {
  checkFieldNames(kind, kind.className, fields);
  return build(kind, namedGiven(kind, fields), aliasOf(kind, fields));
}

/**
 * A config from another scheduler's config or a parsed scheduler_config.json:
 * fields that the source only had by default take this class's default; fields of compatible schedulers and of the
 * source's own class are kept unseen; unknown ones are kept too, with one warning; overrides win.
 * @param kind the scheduler class
 * @param source a scheduler's `config`, or JSON with snake_case (or camelCase) names
 * @param overrides camelCase fields
 * @param options where warnings go
 * @returns the frozen config; converting it back and forth loses nothing
 * @throws InputError when the source is no object, for an override that is no field, or a value of the wrong type
 * @see diffusers ConfigMixin.from_config
 */
export function configFrom<F extends ScheduleFields>(
  kind: ConfigKind<F>,
  source: SchedulerConfig | SchedulerJson,
  overrides: FieldsInput<F> = {},
  options: FromConfigOptions = {},
): SchedulerConfig<F> {
  const op = `${kind.className}.fromConfig`;
  checkFieldNames(kind, op, overrides);
  checkNames(op, options, WARNING);
  const all = storedOf(kind, source);
  const unset = new Set(Array.isArray(all['_use_default_values']) ? all['_use_default_values'] : []);
  const explicit = Object.entries(all).filter(([key]) => key !== '_use_default_values' && !unset.has(key));

  const own = new Set(Object.keys(kind.defaults).map(snake));
  const given = Object.fromEntries(explicit.filter(([key]) => own.has(key)));
  const hidden = Object.fromEntries(explicit.filter(([key]) => !own.has(key)));

  warn(kind, hidden, options.onWarning);
  if (Object.hasOwn(hidden, '_class_name')) hidden['_class_name'] = kind.className;
  return build(kind, { ...given, ...namedGiven(kind, overrides) }, { ...hidden, ...aliasOf(kind, overrides) });
}

/** Names that a programmer writes; a file's unknown keys are kept with a warning instead. */
function checkFieldNames<F extends ScheduleFields>(kind: ConfigKind<F>, op: string, fields: FieldsInput<F>): void {
  const known = [...Object.keys(kind.defaults), ...(kind.alias === undefined ? [] : ['setAlphaToZero'])];
  checkNames(op, fields, known, name =>
    name.startsWith('_') ? `A parsed scheduler_config.json goes to ${kind.className}.fromConfig().` : undefined,
  );
}

/** Whether these are a scheduler's settings, and not fields that somebody wrote: what they keep besides is hidden. */
export function isConfig(fields: unknown): fields is SchedulerConfig {
  if (typeof fields !== 'object' || fields === null) return false;
  const kept = Object.getOwnPropertyDescriptor(fields, 'stored');
  return kept !== undefined && !kept.enumerable;
}

/** The source under JSON names; a plain object may also use this library's names. */
function storedOf<F extends ScheduleFields>(
  kind: ConfigKind<F>,
  source: SchedulerConfig | SchedulerJson,
): SchedulerJson {
  if (typeof source !== 'object' || source === null || Array.isArray(source)) {
    throw new InputError({
      op: `${kind.className}.fromConfig`,
      problem: 'the config is no object',
      received: source,
      path: 'scheduler_config.json',
      fix: 'Pass a scheduler config, or the parsed file.',
    });
  }
  if (isConfig(source)) return source.stored;
  const names = new Set([...Object.keys(DDIM.defaults), ...Object.keys(kind.defaults)]);
  return Object.fromEntries(Object.entries(source).map(([key, value]) => [names.has(key) ? snake(key) : key, value]));
}

/** One warning for all fields that no known scheduler would take. */
function warn<F extends ScheduleFields>(
  kind: ConfigKind<F>,
  hidden: SchedulerJson,
  onWarning: ((message: string) => void) | undefined,
): void {
  const origin = hidden['_class_name'];
  const extra = extraFieldsOf([...kind.compatible, ...(typeof origin === 'string' ? [origin] : [])]);
  const known = new Set([...extra, ...Object.keys(INVERSE_DEFAULTS).map(snake)]);
  const silent = (key: string): boolean => key.startsWith('_') || key === 'quantization_config' || known.has(key);
  const unknown = Object.entries(hidden).filter(([key]) => !silent(key) && key !== kind.alias);
  if (unknown.length > 0) {
    onWarning?.(
      `${kind.className} does not know these config fields and ignores them: ${JSON.stringify(Object.fromEntries(unknown))}.`,
    );
  }
  if (kind.alias && typeof hidden[kind.alias] === 'boolean') {
    onWarning?.(`${kind.className}: ${kind.alias} is the old name of set_alpha_to_one, and overrides it.`);
  }
}

function namedGiven<F extends ScheduleFields>(kind: ConfigKind<F>, fields: FieldsInput<F>): Record<string, unknown> {
  const given = Object.entries(fields).filter(([key, value]) => key in kind.defaults && value !== undefined);
  return Object.fromEntries(given.map(([key, value]) => [snake(key), value]));
}

function aliasOf<F extends ScheduleFields>(kind: ConfigKind<F>, fields: FieldsInput<F>): Record<string, unknown> {
  const value = fields.setAlphaToZero;
  return kind.alias === undefined || value === undefined ? {} : { [kind.alias]: value };
}

function build<F extends ScheduleFields>(
  kind: ConfigKind<F>,
  given: SchedulerJson,
  hidden: SchedulerJson,
): SchedulerConfig<F> {
  const view: Record<string, unknown> = {};
  const values: Record<string, unknown> = {};
  const unset: string[] = [];
  for (const [name, byDefault] of Object.entries(kind.defaults)) {
    const key = snake(name);
    if (!Object.hasOwn(given, key)) unset.push(key);
    const value = Object.hasOwn(given, key) ? checkField(kind, key, given[key], byDefault) : byDefault;
    values[key] = value;
    view[name] = value;
  }
  const alias = kind.alias === undefined ? undefined : hidden[kind.alias];
  if (typeof alias === 'boolean') view['setAlphaToOne'] = alias;
  checkLengths(kind.className, view as unknown as F);

  const stored: SchedulerJson = Object.freeze({
    ...values,
    ...(unset.length > 0 ? { _use_default_values: unset } : {}),
    ...hidden,
  });
  const toJSON = (): Record<string, unknown> => {
    const { _use_default_values: _, ...rest } = stored;
    const saved = { ...rest, _class_name: kind.className, _diffusers_version: DIFFUSERS_VERSION };
    return Object.fromEntries(Object.entries(saved).sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  Object.defineProperties(view, { stored: { value: stored }, toJSON: { value: toJSON } });
  return Object.freeze(view) as unknown as SchedulerConfig<F>;
}

/** JSON can hold anything: a field must have its default's type. Names of schedules are checked where they are used. */
function checkField<F extends ScheduleFields>(
  { className, values }: ConfigKind<F>,
  key: string,
  value: unknown,
  byDefault: unknown,
): unknown {
  const own = values?.[key];
  if (own?.fits(value)) return value;
  const isList = Array.isArray(value) && value.every(item => typeof item === 'number');
  if (!own && byDefault === null && (value === null || isList))
    return isList ? Object.freeze([...(value as number[])]) : null;
  if (!own && byDefault !== null && typeof value === typeof byDefault && !Number.isNaN(value)) return value;
  throw new InputError({
    op: className,
    problem: 'a config field has the wrong type',
    expected: own?.expected ?? (byDefault === null ? 'a list of numbers or null' : `a ${typeof byDefault}`),
    value,
    path: key,
    fix: 'Correct the field, or leave it out to get its default.',
  });
}

function checkLengths(className: string, { numTrainTimesteps, stepsOffset, trainedBetas }: ScheduleFields): void {
  const complain = (path: string, expected: string, received: number): never => {
    const fix = 'Correct the field, or leave it out to get its default.';
    throw new InputError({ op: className, problem: 'a config field is out of range', expected, received, path, fix });
  };
  if (!Number.isInteger(numTrainTimesteps) || numTrainTimesteps < 1) {
    complain('num_train_timesteps', 'a whole number >= 1', numTrainTimesteps);
  }
  if (!Number.isInteger(stepsOffset)) complain('steps_offset', 'a whole number', stepsOffset);
  if (trainedBetas && trainedBetas.length < numTrainTimesteps) {
    complain('trained_betas', `at least ${numTrainTimesteps} values`, trainedBetas.length);
  }
}
