/** The file of a try: what was asked, to be dropped back onto the page. */
import type { FitMode } from 'pentimento';
import { type MaskAdjustments, UNTOUCHED } from './mask.ts';
import { SETTINGS, type Setting } from './settings-table.ts';

/** Which version of the file this page writes and reads. */
const VERSION = 1;

/** Which part of a picture a crop takes. */
export interface Crop {
  /** Its place between the left and the right edge, 0 to 1. */
  readonly x: number;
  /** Its place between the upper and the lower edge, 0 to 1. */
  readonly y: number;
  /** Share of the largest frame's sides, 0.2 to 1. */
  readonly size: number;
}

/** The largest frame in the middle. */
export const CENTRE: Crop = { x: 0.5, y: 0.5, size: 1 };
const LEAST_CROP = 0.2;

/** A value of a setting, as `run` takes it. */
export type SettingValue = number | string | boolean | readonly [number, number];

/** Everything that a try was asked. */
export interface Asked {
  readonly sourcePrompt: string;
  readonly targetPrompt: string;
  /** undefined: as the model recommends, or the source prompt. */
  readonly negativePrompt?: string | undefined;
  readonly seed: number;
  readonly fit: FitMode;
  /** The frame of a cropped picture. */
  readonly crop: Crop;
  /** By their names in `run`; what is absent is diffusers' default. */
  readonly settings: Readonly<Record<string, SettingValue>>;
  readonly mask: MaskAdjustments;
}

/** The file's text. @param model which it was, for people */
export function writeSettings(asked: Asked, model: string): string {
  return `${JSON.stringify({ version: VERSION, model, ...asked }, undefined, 2)}\n`;
}

/**
 * Reads such a file.
 * @throws Error that names the field, for what is none
 */
export function readSettings(text: string): Asked {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error('The file of settings is no JSON.');
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new Error('The file holds no settings.');
  const file = json as Record<string, unknown>;
  if (file['version'] !== VERSION)
    throw new Error(`The file's version is ${JSON.stringify(file['version'])}; this page reads version ${VERSION}.`);
  const { negativePrompt } = file;
  const crop = record(file['crop'] ?? {}, 'crop');
  const mask = record(file['mask'] ?? {}, 'mask');
  return {
    sourcePrompt: words(file, 'sourcePrompt'),
    targetPrompt: words(file, 'targetPrompt'),
    negativePrompt: negativePrompt === undefined ? undefined : words(file, 'negativePrompt'),
    seed: whole(file['seed'], 'seed', 0, Number.MAX_SAFE_INTEGER),
    fit: oneOf(file['fit'] ?? 'nearest', 'fit', ['nearest', 'crop', 'pad', 'squash']) as FitMode,
    crop: {
      x: within(crop['x'] ?? CENTRE.x, 'crop.x', 0, 1),
      y: within(crop['y'] ?? CENTRE.y, 'crop.y', 0, 1),
      size: within(crop['size'] ?? CENTRE.size, 'crop.size', LEAST_CROP, 1),
    },
    settings: settingsOf(record(file['settings'] ?? {}, 'settings')),
    mask: {
      level: within(mask['level'] ?? UNTOUCHED.level, 'mask.level', 0.05, 0.95),
      grow: within(mask['grow'] ?? UNTOUCHED.grow, 'mask.grow', -4, 8),
      soften: within(mask['soften'] ?? UNTOUCHED.soften, 'mask.soften', 0, 4),
    },
  };
}

/** What of an object are settings of this page. @throws Error for unknown names and wrong values */
function settingsOf(found: Record<string, unknown>): Record<string, SettingValue> {
  return Object.fromEntries(
    Object.entries(found).map(([name, value]) => {
      const setting = SETTINGS.find(one => one.name === name);
      if (!setting) throw new Error(`settings.${name}: this page has no such setting.`);
      return [name, checked(setting, value)];
    }),
  );
}

/** @throws Error for a value that the setting cannot be */
export function checked(setting: Setting, value: unknown): SettingValue {
  const path = `settings.${setting.name}`;
  if (setting.kind === 'number') {
    const { min, max = Number.POSITIVE_INFINITY, step } = setting;
    return (step === 1 ? whole : within)(value, path, min, max);
  }
  if (setting.kind === 'choice') return oneOf(value, path, setting.choices);
  if (setting.kind === 'switch' && typeof value === 'boolean') return value;
  if (setting.kind === 'pair' && Array.isArray(value) && value.length === 2)
    return [within(value[0], path, 0, 1), within(value[1], path, 0, 1)];
  throw new Error(
    `${path}: ${JSON.stringify(value)} is no ${setting.kind === 'pair' ? 'pair of shares' : 'yes or no'}.`,
  );
}

function within(value: unknown, path: string, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  const range = max < Number.MAX_SAFE_INTEGER ? `from ${min} to ${max}` : `of ${min} or more`;
  throw new Error(`${path}: ${JSON.stringify(value)} is no number ${range}.`);
}

function whole(value: unknown, path: string, min: number, max: number): number {
  const number = within(value, path, min, max);
  if (Number.isInteger(number)) return number;
  throw new Error(`${path}: ${number} is no whole number.`);
}

function oneOf(value: unknown, path: string, choices: readonly string[]): string {
  if (typeof value === 'string' && choices.includes(value)) return value;
  throw new Error(`${path}: ${JSON.stringify(value)} is none of ${choices.join(', ')}.`);
}

function words(file: Record<string, unknown>, path: string): string {
  const value = file[path];
  if (typeof value === 'string') return value;
  throw new Error(`${path}: ${JSON.stringify(value)} is no text.`);
}

function record(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error(`${path}: ${JSON.stringify(value)} is no object.`);
}
