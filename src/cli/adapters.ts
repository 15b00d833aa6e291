/** `--lora`: adapters of the diffusion model, on every command that runs it. */
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { InputError } from '../core/errors.ts';
import { directory, fileSource } from '../node/files.ts';
import type { LoraInput } from '../pipeline/diffusion/lora-adapters.ts';
import { LORA_FILES } from '../pipeline/diffusion/lora-file.ts';
import { addFile } from './fingerprint.ts';

/** Options that change a model's weights. */
export interface AdapterOptions {
  /** In the order in which they were given. */
  readonly lora?: readonly LoraArgument[];
}

/** A LoRA as it was typed. */
export interface LoraArgument {
  /** Of a file, or of the folder that holds it. */
  readonly path: string;
  readonly scale: number;
}

/** Adds the option; it may be given several times. */
export function addAdapterOptions(command: Command): Command {
  return command.option(
    '--lora <file[:scale]>',
    'LoRA to merge into the model, by default at scale 1; may be given several times',
    (text: string, before: readonly LoraArgument[] = []) => [...before, parseLora(text)],
  );
}

/** What stands behind the last colon is the scale, unless the whole is a file. */
export function parseLora(text: string): LoraArgument {
  const [, path = text, scale] = existsSync(text) ? [] : (/^(.+):([^:/\\]*)$/.exec(text) ?? []);
  if (path === '') throw new InvalidArgumentError('Give a file.');
  if (scale === undefined) return { path, scale: 1 };
  const value = scale.trim() === '' ? Number.NaN : Number(scale);
  if (!Number.isFinite(value))
    throw new InvalidArgumentError('Give the scale as a number, such as style.safetensors:0.8.');
  return { path, scale: value };
}

/**
 * Opens the files.
 * @throws InputError for one that is not there; WeightsError for one that cannot be opened
 */
export async function openLoras({ lora = [] }: AdapterOptions): Promise<LoraInput[]> {
  for (const { path } of lora) {
    if (existsSync(path)) continue;
    const fix = 'Name the file, with :scale behind it or without, or the folder that it was saved in.';
    throw new InputError({ op: 'lora', problem: 'no such file', path, fix });
  }
  const opened: LoraInput[] = [];
  for (const { path, scale } of lora) {
    opened.push({ source: await (statSync(path).isDirectory() ? directory(path) : fileSource(path)), scale });
  }
  return opened;
}

/** For results: `style.safetensors:0.8`. */
export function describeLoras({ lora = [] }: AdapterOptions): string[] {
  return lora.map(({ path, scale }) => (scale === 1 ? path : `${path}:${scale}`));
}

/**
 * A model's fingerprint with its adapters: latents of one are not those of the other.
 * @returns the model's own where there are none
 */
export async function fingerprintWith(fingerprint: string, { lora = [] }: AdapterOptions): Promise<string> {
  const acting = lora.filter(({ scale }) => scale !== 0);
  if (acting.length === 0) return fingerprint;
  const hash = createHash('sha256').update(fingerprint);
  for (const { path, scale } of acting) {
    hash.update(`${scale}`);
    const files = statSync(path).isDirectory() ? LORA_FILES.map(name => join(path, name)).filter(existsSync) : [path];
    for (const file of files.slice(0, 1)) await addFile(hash, await fileSource(file));
  }
  return hash.digest('hex').slice(0, 16);
}
