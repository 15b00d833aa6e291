/**
 * The LoRA adapters of one pipeline: which are loaded, which are active and how strongly. What is active is merged into the
 * weights on their way to the device; a change takes the networks that it concerns off the device, and the next call brings
 * them back with it. What reads and merges them is loaded with the first.
 * Reference: diffusers 0.34.0, loaders/lora_base.py.
 */

import { InputError } from '../../core/errors.ts';
import { loadPart } from '../../core/load-part.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { AdaptedNetwork } from '../../io/lora-keys.ts';
import type { LowRankProduct, mergeLora } from '../../io/lora-merge.ts';
import { closeUnread } from '../../io/sources.ts';
import type { Networks } from '../runtime/network.ts';
import type { LoraFile, LoraSource } from './lora-file.ts';
import type { StableDiffusionNetworks } from './stable-diffusion-folder.ts';

/** How a LoRA is loaded. */
export interface LoraOptions {
  /** By which `setAdapters` and `deleteAdapters` know it; default default_0, default_1, ... */
  readonly adapterName?: string | undefined;
  /** How strongly it acts: W + scale * alpha / rank * B A. Default 1; 0 is off, and below 0 it acts the other way. */
  readonly scale?: number | undefined;
}

/** A LoRA that is there from the beginning. */
export interface LoraInput extends LoraOptions {
  /** Its file, or the folder that it was saved in; closed with the pipeline. */
  readonly source: LoraSource;
}

/** An adapter and its weight. */
interface Active {
  readonly name: string;
  readonly scale: number;
}

const NETWORKS = ['unet', 'text_encoder'] as const;
const KIND = 'lora';

/** All adapters of a pipeline. */
export class LoraAdapters {
  readonly #networks: Networks<StableDiffusionNetworks>;
  readonly #warn: (message: string) => void;
  readonly #files = new Map<string, LoraFile>();
  #active: readonly Active[] = [];
  /** There before the first adapter is. */
  #merge: typeof mergeLora | undefined;
  /** What is merged into each network now; '' for nothing. */
  readonly #merged: Record<AdaptedNetwork, string> = { unet: '', text_encoder: '' };

  constructor(networks: Networks<StableDiffusionNetworks>, warn: (message: string) => void) {
    this.#networks = networks;
    this.#warn = warn;
  }

  /** Names of the adapters that act, in the order in which they were made active. */
  get active(): string[] {
    return this.#active.map(({ name }) => name);
  }

  /** Names of all adapters, by the network that they change. */
  get list(): { readonly unet: string[]; readonly textEncoder: string[] } {
    const changing = (network: AdaptedNetwork): string[] =>
      [...this.#files].filter(([, file]) => file.products[network].size > 0).map(([name]) => name);
    return { unet: changing('unet'), textEncoder: changing('text_encoder') };
  }

  /**
   * Opens a file and makes it the one adapter that acts.
   * @param check throws once the caller has given up
   * @returns its name
   * @throws InputError for a name that is taken or a scale that is no number; whatever openLora and `check` throw
   */
  async load(op: string, source: LoraSource, options: LoraOptions, check: () => void): Promise<string> {
    const added = await this.#open(op, [{ ...options, source }], check);
    this.#activate(added);
    return added[0]?.name ?? '';
  }

  /** Opens files and makes all of them act. @throws as load; then none is loaded */
  async loadAll(op: string, inputs: readonly LoraInput[], signal?: AbortSignalLike): Promise<void> {
    const check = (): void => signal?.throwIfAborted();
    if (inputs.length > 0) this.#activate(await this.#open(op, inputs, check));
  }

  /**
   * Chooses which adapters act, and how strongly.
   * @param names in any order; none switches all off
   * @param weights one for all, or one for each; default 1
   * @throws InputError for unknown names, and weights of another number
   */
  set(op: string, names: string | readonly string[], weights: number | readonly number[] = 1): void {
    const chosen = this.#known(op, names);
    const scales =
      typeof weights === 'number' || !Array.isArray(weights) ? chosen.map(() => weights as number) : weights;
    if (scales.length !== chosen.length) {
      const [expected, received] = [`${chosen.length}, one for each name`, scales.length];
      throw new InputError({
        op,
        problem: 'another number of weights than of names',
        expected,
        received,
        path: 'weights',
      });
    }
    for (const scale of scales) checkScale(op, scale, 'weights');
    this.#activate(chosen.map((name, i) => ({ name, scale: scales[i] ?? 1 })));
  }

  /** Forgets adapters; those that acted beside them still act. @throws InputError for unknown names */
  delete(op: string, names: string | readonly string[]): void {
    const gone = this.#known(op, names);
    this.#activate(this.#active.filter(({ name }) => !gone.includes(name)));
    for (const name of gone) {
      void this.#files.get(name)?.close();
      this.#files.delete(name);
    }
  }

  /** Forgets all: the next call runs the checkpoint's own bits. */
  unload(): void {
    this.#activate([]);
    this.close();
  }

  /** Closes the files; for a pipeline that ends. */
  close(): void {
    for (const file of this.#files.values()) void file.close();
    this.#files.clear();
  }

  async #open(op: string, inputs: readonly LoraInput[], check: () => void): Promise<Active[]> {
    const [{ openLora }, { mergeLora }] = await Promise.all([
      loadPart('the reader of LoRA', () => import('./lora-file.ts')),
      loadPart('the reader of LoRA', () => import('../../io/lora-merge.ts')),
    ]);
    this.#merge = mergeLora;
    const opened = new Map<string, LoraFile>();
    let handedOn = 0;
    const added: Active[] = [];
    const sources = { unet: this.#networks.unet.source, text_encoder: this.#networks.textEncoder.source };
    try {
      for (const { source, adapterName, scale = 1 } of inputs) {
        checkScale(op, scale, 'scale');
        const name = this.#freeName(op, adapterName, opened);
        handedOn++; // what is refused there is closed there
        opened.set(name, await openLora(op, source, sources, this.#warn));
        added.push({ name, scale });
        check();
      }
    } catch (error) {
      for (const file of opened.values()) void file.close();
      await closeUnread(inputs.slice(handedOn).map(({ source }) => source));
      throw error;
    }
    for (const [name, file] of opened) this.#files.set(name, file);
    return added;
  }

  #freeName(op: string, wanted: string | undefined, opened: ReadonlyMap<string, LoraFile>): string {
    const taken = (name: string): boolean => this.#files.has(name) || opened.has(name);
    if (wanted === undefined) {
      for (let i = this.#files.size + opened.size; ; i++) if (!taken(`default_${i}`)) return `default_${i}`;
    }
    if (typeof wanted === 'string' && wanted !== '' && !taken(wanted)) return wanted;
    const problem = typeof wanted === 'string' && wanted !== '' ? 'an adapter of this name is loaded' : 'no name';
    const fix = 'Choose another name, or delete that adapter first.';
    throw new InputError({ op, problem, received: wanted, path: 'adapterName', fix });
  }

  #known(op: string, names: string | readonly string[]): string[] {
    if (typeof names !== 'string' && !Array.isArray(names)) {
      const expected = 'a name, or an array of names';
      throw new InputError({ op, problem: 'not the names of adapters', expected, received: names, path: 'names' });
    }
    const all: readonly string[] = typeof names === 'string' ? [names] : names;
    const unknown = all.find(name => !this.#files.has(name));
    if (unknown === undefined) return [...new Set(all)];
    const expected = this.#files.size === 0 ? 'none is loaded' : [...this.#files.keys()].join(', ');
    throw new InputError({ op, problem: 'no such adapter', expected, received: unknown, path: 'names' });
  }

  /** Merges what acts into the networks that it changes; the others stay as they are. */
  #activate(active: readonly Active[]): void {
    this.#active = active;
    for (const network of NETWORKS) {
      const products = new Map<string, LowRankProduct[]>();
      const parts: string[] = [];
      for (const { name, scale } of active) {
        const own = this.#files.get(name)?.products[network];
        if (!own || own.size === 0 || scale === 0) continue;
        parts.push(`${scale} ${name}`);
        for (const [weight, one] of own) {
          const all = products.get(weight) ?? [];
          all.push({ ...one, scale: scale * one.scale });
          products.set(weight, all);
        }
      }
      const merged = parts.join();
      if (merged === this.#merged[network]) continue;
      const { unet, textEncoder } = this.#networks;
      const changed = network === 'unet' ? unet : textEncoder;
      const merge = this.#merge;
      changed.adapt(KIND, merge && merged !== '' ? source => merge(source, products) : undefined);
      this.#merged[network] = merged;
    }
  }
}

function checkScale(op: string, scale: unknown, path: string): void {
  if (typeof scale === 'number' && Number.isFinite(scale)) return;
  throw new InputError({ op, problem: 'not a weight of an adapter', expected: 'a number', received: scale, path });
}
