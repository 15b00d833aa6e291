/** A LoRA file, and what it adds to which weight of which network: read and checked against the model, nothing multiplied yet. */

import { InputError, WeightsError } from '../../core/errors.ts';
import type { FolderSource, StoredTensor, TensorSource } from '../../core/tensor-source.ts';
import { type AdapterFile, type AdapterTensors, openAdapterFile } from '../../io/adapter-file.ts';
import { type AdaptedNetwork, type LoraKeys, readLoraKeys } from '../../io/lora-keys.ts';
import type { LowRankProduct } from '../../io/lora-merge.ts';
import { readFloats } from '../../io/read-floats.ts';
import { type LoraModules, textEncoderLoraModules, unetLoraModules } from '../../models/stable-diffusion/index.ts';
import { loraScales, type PeftSettings, peftSettings } from './lora-scales.ts';

/** A LoRA: its file (from `fileSource` or `urlSource`, a Blob, or its bytes), or the folder that diffusers or PEFT saved it in. */
export type LoraSource = AdapterFile | FolderSource;

/** Products by the key of the weight that they are added to. */
export type Products = ReadonlyMap<string, LowRankProduct>;

/** A file that was understood. */
export interface LoraFile {
  /** For messages. */
  readonly label: string;
  /** What it adds, at a weight of 1. */
  readonly products: Readonly<Record<AdaptedNetwork, Products>>;
  /** Gives the file back. */
  close(): Promise<void>;
}

/** The checkpoints that adapters are added to. */
export type AdaptedSources = Readonly<Record<AdaptedNetwork, TensorSource>>;

const NETWORKS = ['unet', 'text_encoder'] as const;
/** How diffusers and PEFT call a LoRA in a folder of its own, the first that is there counts. */
export const LORA_FILES: readonly string[] = ['pytorch_lora_weights', 'adapter_model'].flatMap(stem => [
  `${stem}.safetensors`,
  `${stem}.bin`,
]);
/** How many keys a message names. */
const NAMED = 8;

/**
 * Opens a LoRA for a model.
 * @param sources the model's own checkpoints
 * @param warn told of keys that the model has no use for
 * @throws InputError for adapters of another kind or for another model; WeightsError for damaged files, for products that lack a
 * factor and for those that do not fit, all at once
 */
export async function openLora(
  op: string,
  source: LoraSource,
  sources: AdaptedSources,
  warn: (message: string) => void,
): Promise<LoraFile> {
  const { file, config } = await openTensors(op, source);
  try {
    const { modules, unknown } = readLoraKeys(op, file.tensors.keys(), file.label);
    const found = findModules(op, file, modules, sources, unknown, warn);
    checkFactors(op, file, found, sources);
    const products = { unet: new Map<string, LowRankProduct>(), text_encoder: new Map<string, LowRankProduct>() };
    for (const network of NETWORKS) {
      const own = found.filter(one => one.network === network);
      const settings = settingsOf(op, file, config, network);
      const ranked = await Promise.all(
        own.map(async one => ({
          module: moduleOf(one),
          rank: rankOf(file, one),
          alpha: await alphaOf(file, one.keys.alpha),
        })),
      );
      loraScales(network, ranked, settings).forEach((scale, i) => {
        const { weight, keys } = own[i] as Found;
        if (!Number.isFinite(scale)) throw damaged(op, `${file.label}: ${keys.alpha ?? keys.down}`, scale);
        const { down = '', up = '', mid } = keys;
        products[network].set(weight, { file, down, up, mid, rank: ranked[i]?.rank ?? 1, scale });
      });
    }
    return { label: file.label, products, close: async () => file.close?.() };
  } catch (error) {
    await file.close?.();
    throw error;
  }
}

/** Opens the file, or the one of a folder with PEFT's settings beside it. */
async function openTensors(op: string, source: LoraSource): Promise<{ file: AdapterTensors; config: unknown }> {
  if (typeof source !== 'object' || source === null || !('has' in source)) {
    return { file: await openAdapterFile(op, source), config: undefined };
  }
  for (const name of LORA_FILES) {
    if (!(await source.has(name))) continue;
    const settings = 'adapter_config.json';
    const config = (await source.has(settings)) ? parsed(await source.text(settings)) : undefined;
    return { file: await openAdapterFile(op, await source.bytes(name)), config };
  }
  throw new InputError({
    op,
    problem: 'the folder holds no LoRA',
    expected: `one of ${LORA_FILES.join(', ')}`,
    path: source.label,
    fix: 'Name the file itself.',
  });
}

function damaged(op: string, path: string, received: number): WeightsError {
  const fix = 'Download or save the file again.';
  return new WeightsError({ op, problem: 'the adapter is damaged', expected: 'a finite alpha', received, path, fix });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // as a file without settings
  }
}

/** PEFT's settings of a network: those of the folder, else those of the file's header. @throws InputError for DoRA */
function settingsOf(
  op: string,
  file: AdapterTensors,
  config: unknown,
  network: AdaptedNetwork,
): PeftSettings | undefined {
  const header = parsed(file.metadata['lora_adapter_metadata'] ?? '');
  const settings = peftSettings(config, '') ?? peftSettings(header, `${network}.`);
  if (!settings?.dora) return settings;
  throw new InputError({
    op,
    problem: 'the adapter is DoRA (weights with a magnitude of their own), which is not built',
    expected: 'LoRA: low-rank products of linear layers and convolutions',
    received: 'use_dora: true',
    path: file.label,
    fix: 'Merge it into the checkpoint with the program that it comes from, and open the merged model.',
  });
}

/** A module of the file, and the weight that it changes. */
interface Found {
  readonly network: AdaptedNetwork;
  /** Key in the network's checkpoint. */
  readonly weight: string;
  readonly keys: LoraKeys;
}

/** Looks every module up; what the model lacks is named, and refused where it is everything. */
function findModules(
  op: string,
  file: TensorSource,
  modules: readonly LoraKeys[],
  sources: AdaptedSources,
  unknown: readonly string[],
  warn: (message: string) => void,
): Found[] {
  const known: Readonly<Record<AdaptedNetwork, LoraModules>> = {
    unet: unetLoraModules(sources.unet.tensors.keys()),
    text_encoder: textEncoderLoraModules(sources.text_encoder.tensors.keys()),
  };
  const found = new Map<string, Found>();
  const lost: string[] = [...unknown];
  for (const keys of modules) {
    const network = NETWORKS.find(one => (keys.network ?? one) === one && known[one].weightOf(keys.module));
    const weight = network && known[network].weightOf(keys.module);
    const name = keys.down ?? keys.up ?? keys.alpha ?? keys.module;
    if (!network || weight === undefined) {
      lost.push(name);
      continue;
    }
    const other = found.get(`${network} ${weight}`);
    if (other) {
      const received = `${other.keys.down} and ${name}`;
      throw new WeightsError({
        op,
        problem: 'two products for one weight',
        received,
        path: `${file.label}: ${weight}`,
      });
    }
    found.set(`${network} ${weight}`, { network, weight, keys });
  }
  if (found.size === 0) {
    throw new InputError({
      op,
      problem: 'the model has none of the modules that the adapter changes',
      received: named(lost),
      path: file.label,
      fix: 'The adapter was made for another kind of model; look for one of Stable Diffusion 1.x or 2.x.',
    });
  }
  if (lost.length > 0) warn(`${file.label}: the model has no place for ${named(lost)}; ignored`);
  return [...found.values()];
}

function named(keys: readonly string[]): string {
  const more = keys.length > NAMED ? ` and ${keys.length - NAMED} more` : '';
  return `${keys.slice(0, NAMED).join(', ')}${more}`;
}

function moduleOf({ weight }: Found): string {
  return weight.slice(0, -'.weight'.length);
}

function shapeOf(file: TensorSource, key: string | undefined): readonly number[] | undefined {
  return key === undefined ? undefined : file.tensors.get(key)?.shape;
}

function rankOf(file: TensorSource, { keys }: Found): number {
  return shapeOf(file, keys.mid ?? keys.down)?.[0] ?? 1;
}

/** Both factors are there, and their product has the weight's shape. */
function checkFactors(op: string, file: TensorSource, found: readonly Found[], sources: AdaptedSources): void {
  const problems: string[] = [];
  let fix: string | undefined;
  for (const one of found) {
    const { network, weight, keys } = one;
    const stored = sources[network].tensors.get(weight);
    if (!stored) continue;
    const [down, up, mid] = [shapeOf(file, keys.down), shapeOf(file, keys.up), shapeOf(file, keys.mid)];
    if (!down || !up) problems.push(`${keys.down ?? keys.up ?? keys.alpha}: its other factor is missing`);
    else if (!fits(stored, down, up, mid)) {
      const shapes = [up, ...(mid ? [mid] : []), down].map(shape => `[${shape.join(', ')}]`).join(' times ');
      problems.push(`${keys.down}: ${shapes} for a weight [${stored.shape.join(', ')}]`);
      fix ??= otherFamily(weight, down, stored);
    }
  }
  if (problems.length === 0) return;
  const rest = problems.length > NAMED ? `\n  and ${problems.length - NAMED} more` : '';
  throw new WeightsError({
    op,
    problem: `the adapter does not fit the model:\n  ${problems.slice(0, NAMED).join('\n  ')}${rest}\n`,
    path: file.label,
    fix: fix ?? 'An adapter fits only models of the kind that it was trained on.',
  });
}

/** Whether up * (mid *) down has the weight's rows and as many numbers in each; a linear layer is a 1x1 convolution too. */
function fits(
  { shape: [rows = 0, inputs = 0, ...kernel] }: StoredTensor,
  down: readonly number[],
  up: readonly number[],
  mid: readonly number[] | undefined,
): boolean {
  const taps = product(kernel);
  const rank = (mid ?? down)[0] ?? 0;
  if (down.length < 2 || up.length < 2 || up[0] !== rows || product(up) !== rows * rank) return false;
  if (mid)
    return (
      mid[1] === down[0] && product(mid) === rank * (down[0] ?? 0) * taps && product(down) === (down[0] ?? 0) * inputs
    );
  return down[1] === inputs && product(down) === rank * inputs * taps;
}

/** Widths of the text that families of models read. */
const TEXT_WIDTHS: Readonly<Record<number, string>> = {
  768: 'Stable Diffusion 1.x',
  1024: 'Stable Diffusion 2.x',
  2048: 'Stable Diffusion XL',
};

/** What the width of the text tells about the family of models. */
function otherFamily(weight: string, [, width = 0]: readonly number[], stored: StoredTensor): string | undefined {
  const [theirs, ours] = [TEXT_WIDTHS[width], TEXT_WIDTHS[stored.shape[1] ?? 0]];
  if (!/\.attn2\.to_[kv]\.weight$/.test(weight) || theirs === undefined) return undefined;
  return `The adapter was made for ${theirs}; this model is ${ours ?? 'another one'}.`;
}

/** A scalar of the file. */
async function alphaOf(file: TensorSource, key: string | undefined): Promise<number | undefined> {
  const stored = key === undefined ? undefined : file.tensors.get(key);
  if (!stored || key === undefined) return undefined;
  if (stored.dtype !== 'I64') return (await readFloats(file, key)).data[0];
  const bytes = new Uint8Array(stored.byteLength);
  await file.read(key, 0, bytes);
  return Number(new DataView(bytes.buffer).getBigInt64(0, true));
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((a, b) => a * b, 1);
}
