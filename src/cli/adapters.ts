/** `--lora` and `--embedding`: adapters of the diffusion model, on every command that runs it. */
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { InputError } from '../core/errors.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { EMBEDDING_FILES } from '../io/textual-inversion.ts';
import { urlSource } from '../io/url-source.ts';
import { directory, fileSource } from '../node/files.ts';
import type { LoraInput } from '../pipeline/diffusion/lora-adapters.ts';
import { LORA_FILES } from '../pipeline/diffusion/lora-file.ts';
import type { EmbeddingInput } from '../pipeline/diffusion/textual-inversion-sources.ts';
import { addFile } from './fingerprint.ts';

/** Options that change a model's weights. */
export interface AdapterOptions {
  /** In the order in which they were given. */
  readonly lora?: readonly LoraArgument[];
  /** In the order in which they were given. */
  readonly embedding?: readonly EmbeddingArgument[];
}

/** A LoRA as it was typed. */
export interface LoraArgument {
  /** Of a file, its address, or the path of the folder that holds it. */
  readonly path: string;
  readonly scale: number;
}

const ADDRESS = /^https?:\/\//i;

/** An embedding of textual inversion as it was typed. */
export interface EmbeddingArgument {
  /** Of a file, its address, or the path of the folder that holds it. */
  readonly path: string;
  /** The word that means it; the one that the file names where absent. */
  readonly token: string | undefined;
}

/** Adds the options; each may be given several times. */
export function addAdapterOptions(command: Command): Command {
  return command
    .option(
      '--lora <file[:scale]>',
      'LoRA to merge into the model, by default at scale 1; may be given several times',
      (text: string, before: readonly LoraArgument[] = []) => [...before, parseLora(text)],
    )
    .option(
      '--embedding <file[:token]>',
      'textual inversion: a word for the prompts, by default the one that the file names; may be given several times',
      (text: string, before: readonly EmbeddingArgument[] = []) => [...before, parseEmbedding(text)],
    );
}

/** What stands behind a file and a colon is the token, which may hold colons and slashes itself. */
export function parseEmbedding(text: string): EmbeddingArgument {
  const { path, token } = splitAtFile(text);
  if (path === '') throw new InvalidArgumentError('Give a file.');
  if (token === undefined || token.trim() !== '') return { path, token };
  throw new InvalidArgumentError('Give the token as a word, such as cat.safetensors:<cat-toy>.');
}

/** At the last colon behind a file that is there; where none is, at the last colon of all, which no path has behind it. */
function splitAtFile(text: string): EmbeddingArgument {
  if (existsSync(text)) return { path: text, token: undefined };
  for (let at = text.lastIndexOf(':'); at > 0; at = text.lastIndexOf(':', at - 1)) {
    if (existsSync(text.slice(0, at))) return { path: text.slice(0, at), token: text.slice(at + 1) };
  }
  const [, path = text, token] = /^(.+):([^:/\\]*)$/.exec(text) ?? [];
  return { path, token };
}

/**
 * Opens the files.
 * @param signal ends the reading of addresses
 * @throws InputError for one that is not there; WeightsError for one that cannot be opened
 */
export async function openEmbeddings(
  { embedding = [] }: AdapterOptions,
  signal: AbortSignal,
): Promise<EmbeddingInput[]> {
  const files = embedding.filter(({ path }) => !ADDRESS.test(path));
  const fix = 'Name the file or its address, with :token behind it or without, or the folder that it was saved in.';
  checkThere('embedding', files, fix);
  const opened: EmbeddingInput[] = [];
  for (const { path, token } of embedding) {
    opened.push({ source: await openPath(path, signal), token });
  }
  return opened;
}

/** A line for each word, which may be that of the file alone. */
export function describeEmbeddings({ embedding = [] }: AdapterOptions, words: readonly string[]): string[] {
  return embedding.map(({ path }, i) => `Write ${words[i]} in a prompt for ${path}.`);
}

function checkThere(op: string, files: readonly { readonly path: string }[], fix: string): void {
  const missing = files.find(({ path }) => !existsSync(path));
  if (missing) throw new InputError({ op, problem: 'no such file', path: missing.path, fix });
}

async function openPath(path: string, signal: AbortSignal): Promise<ByteSource | FolderSource> {
  if (ADDRESS.test(path)) return urlSource(path, { signal });
  return statSync(path).isDirectory() ? directory(path) : fileSource(path);
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
 * @param signal ends the reading of addresses
 * @throws InputError for one that is not there; WeightsError for one that cannot be opened
 */
export async function openLoras({ lora = [] }: AdapterOptions, signal: AbortSignal): Promise<LoraInput[]> {
  const files = lora.filter(({ path }) => !ADDRESS.test(path));
  const fix = 'Name the file or its address, with :scale behind it or without, or the folder that it was saved in.';
  checkThere('lora', files, fix);
  const opened: LoraInput[] = [];
  for (const { path, scale } of lora) {
    opened.push({ source: await openPath(path, signal), scale });
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
    if (ADDRESS.test(path)) hash.update(path);
    for (const file of filesOf(path, LORA_FILES)) await addFile(hash, await fileSource(file));
  }
  return hash.digest('hex').slice(0, 16);
}

/**
 * What the words of prompts meant that stand for embeddings: prompts mean something else without them.
 * @param words as the pipeline names them, one for each embedding
 * @returns such as `<cat-toy> (5f0c1d2e)`; '' where no prompt holds such a word
 */
export async function embeddingsIn(
  prompts: readonly (string | undefined)[],
  { embedding = [] }: AdapterOptions,
  words: readonly string[],
): Promise<string> {
  const meant: string[] = [];
  for (const [i, { path }] of embedding.entries()) {
    const word = words[i] ?? '';
    if (!prompts.some(prompt => prompt?.includes(word))) continue;
    const hash = createHash('sha256').update(ADDRESS.test(path) ? path : '');
    for (const file of filesOf(path, EMBEDDING_FILES)) await addFile(hash, await fileSource(file));
    meant.push(`${word} (${hash.digest('hex').slice(0, 8)})`);
  }
  return meant.sort().join(', ');
}

/** The file, or the one that is taken from a folder. */
function filesOf(path: string, names: readonly string[]): string[] {
  if (ADDRESS.test(path)) return [];
  if (!statSync(path).isDirectory()) return [path];
  return names
    .map(name => join(path, name))
    .filter(existsSync)
    .slice(0, 1);
}
