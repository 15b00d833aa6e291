/**
 * Reads pentimento.json: `{ "version": 1, "reason": "...", "settings": { "maskMode": "soft", "negativePrompt": "empty" } }`. A stranger wrote
 * it: of its settings only numbers, booleans and enumerations of the table of arguments come through, each by its argument's check.
 */
import { InputError, PentimentoError } from '../../core/errors.ts';
import { nearestName } from '../../core/known-names.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import { checkValue } from '../diffusion/argument-checks.ts';
import { readJson } from '../runtime/read-json.ts';
import { ARGUMENTS, type Argument } from './arguments.ts';
import { excluding } from './exclusive-settings.ts';
import { RECOMMENDED_FILE, type Recommended, type RecommendedSettings } from './recommended.ts';

const VERSION = 1;
const FIELDS = ['version', 'reason', 'reasons', 'settings', 'guide'];
/** The negative prompt is a choice, never a text. */
const NEGATIVES: readonly unknown[] = ['source', 'empty'];
/** Longest words of the file that a warning repeats. */
const MOST_SHOWN = 60;
/** Warnings of what is left out; the rest is counted in one more. */
const MOST_TOLD = 8;
/** A larger file is none of settings. */
const MOST_BYTES = 2 ** 20;

/**
 * What the file says.
 * @param folder that has it
 * @param warn told of a file that cannot be used, and of each field that is left out
 * @returns frozen; undefined for a file that cannot be used
 * @throws the signal's reason
 */
export async function recommendedFrom(
  folder: FolderSource,
  warn: (message: string) => void,
): Promise<Recommended | undefined> {
  const path = `${folder.label}/${RECOMMENDED_FILE}`;
  let json: Readonly<Record<string, unknown>>;
  try {
    await checkSize(folder);
    json = await readJson(folder, RECOMMENDED_FILE, 'recommended');
  } catch (error) {
    if (!(error instanceof PentimentoError)) throw error;
    warn(`${path} cannot be read (${error.problem}): its settings are not known.`);
    return undefined;
  }
  const { version } = json;
  if (version !== VERSION) {
    warn(`${path} is of version ${shown(version)}, not ${VERSION}: its settings are not known.`);
    return undefined;
  }
  let untold = -MOST_TOLD;
  const leaveOut = (what: string): void => {
    if (++untold <= 0) warn(`${path}: ${what}; left out.`);
  };
  for (const name of Object.keys(json).filter(one => !FIELDS.includes(one))) leaveOut(`unknown field ${shown(name)}`);
  const found = Object.freeze({
    reason: reasonFrom(json['reason'], leaveOut),
    reasons: Object.freeze(reasonsFrom(json['reasons'], leaveOut)),
    settings: Object.freeze(settingsFrom(json['settings'], leaveOut)),
    guide: Object.freeze(json['guide'] === undefined ? {} : settingsFrom(json['guide'], leaveOut, 'guide')),
  });
  if (untold > 0) warn(`${path}: ${untold} more of such; left out.`);
  return found;
}

/** @throws InputError for a file that is too large to be one of settings */
async function checkSize(folder: FolderSource): Promise<void> {
  const source = await folder.bytes(RECOMMENDED_FILE);
  const { byteLength } = source;
  await source.close?.();
  if (byteLength <= MOST_BYTES) return;
  const problem = `it has ${byteLength} bytes, more than ${MOST_BYTES}`;
  throw new InputError({ op: 'recommended', problem, path: folder.label });
}

function reasonFrom(value: unknown, leaveOut: (what: string) => void): string {
  if (typeof value === 'string') return value;
  if (value !== undefined) leaveOut(`reason is no text but ${shown(value)}`);
  return '';
}

function reasonsFrom(value: unknown, leaveOut: (what: string) => void): Record<string, string> {
  if (value === undefined) return {};
  if (!isRecord(value)) {
    leaveOut(`reasons are no object of texts but ${shown(value)}`);
    return {};
  }
  const texts = Object.entries(value).filter(([name, text]) => {
    const known = typeof text === 'string' && (isSetting(name) || name === 'negativePrompt');
    if (!known) leaveOut(`reason of ${shown(name)}, which is no setting or has no text`);
    return known;
  });
  return Object.fromEntries(texts) as Record<string, string>;
}

function settingsFrom(value: unknown, leaveOut: (what: string) => void, field = 'settings'): RecommendedSettings {
  const settings: Record<string, unknown> = {};
  if (!isRecord(value)) {
    leaveOut(`${field} must be an object, not ${shown(value)}`);
    return settings;
  }
  for (const [name, wanted] of Object.entries(value)) {
    const problem = name === 'negativePrompt' ? negativeProblem(wanted) : problemOf(name, wanted, settings);
    if (problem !== undefined) leaveOut(problem);
    else if (name !== 'negativePrompt') settings[name] = Array.isArray(wanted) ? Object.freeze(wanted) : wanted;
    else if (wanted === 'empty') settings['negativePrompt'] = '';
    else if (field === 'guide') settings['negativePrompt'] = undefined; // the source prompt, also beside settings without a negative
  }
  return settings;
}

function negativeProblem(wanted: unknown): string | undefined {
  if (NEGATIVES.includes(wanted)) return undefined;
  return `"negativePrompt" is ${shown(wanted)}, not "source" or "empty"`;
}

/** What is wrong with a setting, in words and by the file's own names, in quotes; undefined where it is right. */
function problemOf(name: string, value: unknown, before: Readonly<Record<string, unknown>>): string | undefined {
  if (!isSetting(name)) {
    if (Object.hasOwn(ARGUMENTS, name)) return `"${name}" is not for a model to recommend`;
    const near = nearestName(name, Object.keys(ARGUMENTS).filter(isSetting));
    return `unknown setting ${shown(name)}${near === undefined ? '' : ` (is it "${near}"?)`}`;
  }
  const { check = 'switch' } = ARGUMENTS[name as keyof typeof ARGUMENTS] as Argument;
  const wrong = (expected: unknown): string => `"${name}" is ${shown(value)}, not ${expected}`;
  if (value === null) return wrong('a value');
  try {
    checkValue('recommended', check, value, name);
    const other = excluding(name, value, before);
    return other === undefined
      ? undefined
      : `"${name}" ${shown(value)} does not go with "${other}" ${shown(before[other])}`;
  } catch (error) {
    if (error instanceof InputError) return wrong(error.expected);
    throw error;
  }
}

/** Whether a model may recommend a value of this argument; the type `RecommendedName` says the same. */
export function isSetting(name: string): boolean {
  const row: Argument | undefined = Object.hasOwn(ARGUMENTS, name)
    ? ARGUMENTS[name as keyof typeof ARGUMENTS]
    : undefined;
  const [group] = row?.option ?? [];
  if (row === undefined || group === undefined || name === 'numImagesPerPrompt') return false;
  const fits = row.check !== undefined || typeof row.default === 'boolean';
  return fits && group !== 'Prompts' && group !== 'Model and device';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value of the file for a message: as JSON, so that no control characters reach a terminal, and cut. */
function shown(value: unknown): string {
  const text = (JSON.stringify(value) ?? 'absent').replaceAll(/[\u007f-\u009f]/g, '?');
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}...` : text;
}
