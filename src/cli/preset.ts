/**
 * Settings that fit the model: what its folder recommends in pentimento.json is taken for every option that was not given, and one line
 * says so; `--preset diffusers` takes none of it.
 */
import type { Command } from 'commander';
import { ARGUMENTS, type Argument, defaultOf } from '../pipeline/diffedit/arguments.ts';
import { excluding } from '../pipeline/diffedit/exclusive-settings.ts';
import type { Recommended } from '../pipeline/diffedit/recommended.ts';
import { isSetting } from '../pipeline/diffedit/recommended-file.ts';
import { type PhaseMethod, runNamesOf } from '../pipeline/diffedit/run-arguments.ts';
import { flagOf, type PresetOptions } from './options.ts';

/** The phases of `run`. */
export const ALL_PHASES: readonly PhaseMethod[] = ['generateMask', 'invert', 'edit'];

/** What `--json` says of settings. */
export interface SettingsReport {
  /** The preset in effect: 'diffusers' too where the model recommends nothing. */
  readonly preset: 'recommended' | 'diffusers';
  /** Every setting of the phases that run, by run's names. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Those of them that the model recommends and no option gave. */
  readonly fromPreset: readonly string[];
}

/** Options with the model's settings among them. */
export interface Preset<O> {
  readonly options: O;
  readonly report: SettingsReport;
}

/**
 * Settings that would silence what was asked for: guidance of 1 or below, or at none of a phase's noise levels, passes over negative
 * prompts, a soft mask over what makes masks of zeros and ones.
 */
const SILENCES: Readonly<Record<string, readonly string[]>> = {
  maskGuidanceScale: ['sourceNegativePrompt', 'targetNegativePrompt'],
  invertGuidanceScale: ['invertNegativePrompt'],
  guidanceScale: ['negativePrompt', 'sourceNegativePrompt', 'targetNegativePrompt', 'invertNegativePrompt'],
  guidanceInterval: ['negativePrompt', 'sourceNegativePrompt', 'targetNegativePrompt', 'invertNegativePrompt'],
  maskMode: ['threshold', 'continuous'],
};

/** Whether an option was given on the command line, by its name. */
export function givenOn(command: Command): (name: string) => boolean {
  return name => {
    const source = command.getOptionValueSource(name);
    return source !== undefined && source !== 'default';
  };
}

/**
 * Takes what a model recommends for the options that were not given.
 * @param o as parsed
 * @param given whether an option of this name was given
 * @param phases that the command runs
 * @param recommended of the model
 * @param note told in one line what was taken
 */
export function withPreset<O extends PresetOptions>(
  o: O,
  given: (name: string) => boolean,
  phases: readonly PhaseMethod[],
  recommended: Recommended | undefined,
  note: (line: string) => void,
): Preset<O> {
  const wanted = o.preset === 'recommended' ? recommended : undefined;
  const settings: Readonly<Record<string, unknown>> = wanted?.settings ?? {};
  const givenSettings = Object.fromEntries(Object.entries(o as object).filter(([name]) => given(name)));
  const fitting = Object.entries(settings).filter(([name, value]) => !excluding(name, value, givenSettings));
  const taken = takenNames(phases, Object.fromEntries(fitting), given, o);
  // The original squashes the picture, and returns it so.
  const fit = o.preset === 'diffusers' && 'fit' in o && !given('fit') ? { fit: 'squash' } : {};
  const options = { ...o, ...fit, ...Object.fromEntries(taken.map(name => [name, settings[name]])) };
  if (taken.length > 0) {
    const said = taken.map(name => inOptions(name, settings[name])).join(' ');
    note(`Settings that the model recommends: ${said} (--preset diffusers takes none).`);
  } else if (o.preset === 'recommended' && recommended === undefined && given('preset')) {
    note("The model recommends no settings: diffusers' own are taken.");
  }
  for (const line of idleOptions(options, given)) note(line);
  const preset = wanted === undefined ? 'diffusers' : 'recommended';
  return { options, report: { preset, settings: settingsUsed(phases, options), fromPreset: taken } };
}

/** Which settings the phases take from the model, in the table's order. */
function takenNames(
  phases: readonly PhaseMethod[],
  settings: Readonly<Record<string, unknown>>,
  given: (name: string) => boolean,
  typed: object,
): string[] {
  const values = typed as Readonly<Record<string, unknown>>;
  const taken = new Set<string>();
  const inEffect = (name: string): unknown => (given(name) ? values[name] : settings[name]);
  for (const names of phases.flatMap(phase => runNamesOf(phase))) {
    // The one phase of a command has one guidance: whichever option gives it wins. In several the more special name does.
    if (phases.length === 1 && names.some(given)) continue;
    const first = names.find(name => given(name) || (settings[name] !== undefined && !isSilencing(name)));
    if (first !== undefined && !given(first)) taken.add(first);
  }
  const soft = taken.has('maskMode')
    ? settings['maskMode'] === 'soft'
    : given('maskMode') && values['maskMode'] === 'soft';
  if (!soft) taken.delete('maskExponent'); // says nothing of other masks
  return [...Object.keys(ARGUMENTS)].filter(name => taken.has(name));

  /** Noise levels at which a negative prompt counts, as near as strengths tell: a mask has one, the other phases all up to theirs. */
  function levelsOf(prompt: string): readonly [number, number] {
    const strength = (of: 'maskEncodeStrength' | 'inpaintStrength'): number =>
      Number(inEffect(of) ?? defaultOf('run', of));
    const mask = strength('maskEncodeStrength');
    return /^(source|target)/.test(prompt) ? [mask, mask] : [0, strength('inpaintStrength')];
  }

  function isSilencing(name: string): boolean {
    const asked = (SILENCES[name] ?? []).filter(given);
    if (asked.length === 0) return false;
    if (name === 'guidanceInterval') return asked.some(prompt => !meets(settings[name], levelsOf(prompt)));
    if (name !== 'maskMode') return Number(settings[name]) <= 1;
    return settings[name] === 'soft' && (given('continuous') || inEffect('maskCleanup') !== true);
  }
}

/** Whether an interval of noise levels has one of a span. */
function meets(interval: unknown, [from, to]: readonly [number, number]): boolean {
  const [first, last] = interval as readonly [number, number];
  return first <= to && last >= from;
}

/** Options that were given and change nothing beside the settings in effect: a line each, with what would help. */
function idleOptions(options: object, given: (name: string) => boolean): string[] {
  const { maskMode, maskCleanup } = options as Readonly<Record<string, unknown>>;
  const soft = maskMode === 'soft';
  const lines: string[] = [];
  if (given('maskExponent') && !soft)
    lines.push('--mask-exponent is for soft masks and changes nothing here: add --soft-mask.');
  if (given('threshold') && soft && maskCleanup !== true)
    lines.push('--threshold is for masks of black and white and changes nothing of a soft one: leave --soft-mask out.');
  return lines;
}

/** What the phases work with, by run's names; a guidance that has none of its own is the common one. */
function settingsUsed(phases: readonly PhaseMethod[], options: object): Record<string, unknown> {
  const values = options as Readonly<Record<string, unknown>>;
  const used: Record<string, unknown> = {};
  for (const names of phases.flatMap(phase => runNamesOf(phase))) {
    const [name = ''] = names;
    const value =
      names.map(one => values[one]).find(one => one !== undefined) ?? defaultOf('run', names.at(-1) ?? name);
    if (isSetting(name) && value !== undefined) used[name] = value;
  }
  if (!phases.includes('edit')) return used;
  return { ...used, negativePrompt: values['negativePrompt'] ?? values['sourcePrompt'] };
}

/** A setting as the option that gives it, such as `--guidance-scale 2`. */
export function inOptions(name: string, value: unknown): string {
  const row: Argument = ARGUMENTS[name as keyof typeof ARGUMENTS];
  const flag = flagOf(name, row);
  if (row.switch) return value === row.switch[1] ? flag : flag.replace('--', '--no-');
  if (typeof value === 'boolean') return value ? flag : flag.replace('--', '--no-');
  return `${flag} ${value === '' ? "''" : value}`;
}

/** Settings for a reader: in words, with a mark on those that the model recommends. */
export function settingsShown({ preset, settings, fromPreset }: SettingsReport): Record<string, string> {
  const entries = Object.entries(settings).filter(([, value]) => value !== undefined);
  const words = (name: string): string => name.replaceAll(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`);
  const text = (value: unknown): string => (value === '' ? 'empty' : String(value));
  const mark = (name: string): string => (fromPreset.includes(name) ? ' (recommended)' : '');
  return { preset, ...Object.fromEntries(entries.map(([name, value]) => [words(name), text(value) + mark(name)])) };
}
