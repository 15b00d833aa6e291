/** What a model is, beside its name: a hash of all that its numbers come from. */
import { createHash, type Hash } from 'node:crypto';
import { canonicalJson, type JsonValue } from '../core/canonical-json.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { NETWORKS, weightFiles } from '../node/weight-files.ts';

/** How files are hashed. */
export interface HashOptions {
  /** Ends it with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Told of bytes hashed so far, of all. */
  readonly onProgress?: ((bytes: number, of: number) => void) | undefined;
}

/** A LoRA by its bytes. */
export interface HashedLora {
  /** Of its file, hex. */
  readonly sha256: string;
  /** Weight that it is merged with. */
  readonly scale: number;
}

/** An embedding by its bytes. */
export interface HashedEmbedding {
  /** Of its file, hex. */
  readonly sha256: string;
  /** The word that means it; null for the one that the file names. */
  readonly token: string | null;
}

/** What changes a model's numbers beside its folder. */
export interface ModelSettings {
  /** Which weights of the folder, such as fp16. */
  readonly variant?: string | undefined;
  /** Of weights and activations. */
  readonly dtype: 'float32' | 'float16';
  /** In the order in which they are merged. */
  readonly loras?: readonly HashedLora[];
  /** Of textual inversion. */
  readonly embeddings?: readonly HashedEmbedding[];
  /** As `fromPretrained` takes it. */
  readonly mendQuirks?: boolean | undefined;
  /** Side of the VAE's tiles in pixels, true for the model's own; absent for none. */
  readonly vaeTiles?: number | boolean | undefined;
}

/** So much is read and hashed before others have their turn. */
const SLICE = 2 ** 22;

/** Files beside weights that numbers come from. */
const CONFIGS = [
  ...['model_index.json', 'scheduler/scheduler_config.json', 'inverse_scheduler/scheduler_config.json'],
  ...['vocab.json', 'merges.txt', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'].map(
    name => `tokenizer/${name}`,
  ),
  ...NETWORKS.map(([network]) => `${network}/config.json`),
];

/**
 * SHA-256 (hex) of every byte that a model's numbers come from, and of the settings that change them. A fleet's jobs carry it, so that no
 * worker makes them with other weights under the same name.
 * @param folder in diffusers' layout
 * @throws WeightsError for files that cannot be read; the signal's reason
 */
export async function modelKey(
  folder: FolderSource,
  settings: ModelSettings,
  options: HashOptions = {},
): Promise<string> {
  const { variant, dtype, loras = [], embeddings = [], mendQuirks = false, vaeTiles = false } = settings;
  const files: Record<string, JsonValue> = {};
  for (const name of CONFIGS) if (await folder.has(name)) files[name] = sha256Of(await folder.text(name));
  const named = await Promise.all(NETWORKS.map(([network, stem]) => weightFiles(folder, network, stem, variant)));
  const opened = await Promise.all(named.flat().map(async name => [name, await folder.bytes(name)] as const));
  try {
    const of = opened.reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
    let done = 0;
    for (const [name, source] of opened) {
      const before = done;
      const onProgress = (bytes: number): void => options.onProgress?.(before + bytes, of);
      files[name] = await hashOf(source, { ...options, onProgress });
      done += source.byteLength;
    }
  } finally {
    await Promise.all(opened.map(([, source]) => source.close?.()));
  }
  const all = { files, dtype, loras: [...loras], embeddings: [...embeddings], mendQuirks, vaeTiles };
  return sha256Of(canonicalJson(all as unknown as JsonValue));
}

/**
 * SHA-256 (hex) of a file, read in slices between which others have their turn.
 * @throws what the source throws; the signal's reason
 */
export async function hashOf(source: ByteSource, { signal, onProgress }: HashOptions = {}): Promise<string> {
  const hash = createHash('sha256');
  const buffer = new Uint8Array(Math.min(SLICE, source.byteLength));
  for (let at = 0; at < source.byteLength; at += SLICE) {
    signal?.throwIfAborted();
    const part = buffer.subarray(0, Math.min(SLICE, source.byteLength - at));
    await source.read(at, part);
    hash.update(part);
    onProgress?.(at + part.length, source.byteLength);
    await new Promise(setImmediate);
  }
  return hash.digest('hex');
}

/** SHA-256 (hex) of a text, as UTF-8, or of bytes. */
export function sha256Of(content: string | Uint8Array): string {
  const hash: Hash = createHash('sha256');
  return hash.update(content).digest('hex');
}
