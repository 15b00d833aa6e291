/**
 * By how much a low-rank product is multiplied before the adapter's own weight: alpha / rank. Where a file says nothing of alpha,
 * diffusers guesses, and its guess is kept here, number for number.
 * Reference: diffusers 0.34.0, utils/peft_utils.py (get_peft_kwargs); PEFT 0.21, tuners/lora/layer.py.
 */

import { isObject } from '../../io/json-object.ts';
import type { AdaptedNetwork } from '../../io/lora-keys.ts';

/** A module of a file, its rank, and its alpha where the file has one. */
export interface RankedModule {
  /** As the network calls it. */
  readonly module: string;
  /** Rows of A. */
  readonly rank: number;
  /** Of the file's own scalar. */
  readonly alpha: number | undefined;
}

/** PEFT's settings of one network, as a file's header or adapter_config.json has them. */
export interface PeftSettings {
  /** Of modules that no pattern names. */
  readonly alpha: number;
  /** By the end of a module's name. */
  readonly alphas: Readonly<Record<string, number>>;
  /** Scales by alpha / sqrt(rank) instead: https://arxiv.org/abs/2312.03732. */
  readonly rankStabilised: boolean;
  /** Weights with a magnitude of their own, which is not built. */
  readonly dora: boolean;
}

/**
 * The scale of each module of one network, in their order.
 *
 * With PEFT's settings: what they say. Without: the module's own alpha; else the alpha that most modules have; and where none
 * has one, the first module's rank, which is every module's own rank unless ranks differ.
 */
export function loraScales(
  network: AdaptedNetwork,
  modules: readonly RankedModule[],
  settings: PeftSettings | undefined,
): number[] {
  if (settings) {
    const { alpha, alphas, rankStabilised } = settings;
    return modules.map(({ module, rank }) => {
      return (alphaFor(module, alphas) ?? alpha) / (rankStabilised ? Math.sqrt(rank) : rank);
    });
  }
  const byDefault = mostFrequent(modules.flatMap(({ alpha }) => alpha ?? [])) ?? firstRank(network, modules);
  return modules.map(({ alpha, rank }) => (alpha ?? byDefault) / rank);
}

/** The last segments of a module's name choose its alpha; a name, never a pattern that a file could make slow. */
function alphaFor(module: string, alphas: Readonly<Record<string, number>>): number | undefined {
  const found = Object.keys(alphas).find(key => `.${module}`.endsWith(`.${key.replace(/^\^/, '')}`));
  return found === undefined ? undefined : alphas[found];
}

function mostFrequent(values: readonly number[]): number | undefined {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  let best: number | undefined;
  for (const [value, count] of counts) if (best === undefined || count > (counts.get(best) ?? 0)) best = value;
  return best;
}

/** The order in which diffusers looks at a text encoder: all attentions, then all feed-forward layers. */
const TEXT_ORDER = ['out_proj', 'q_proj', 'k_proj', 'v_proj', 'fc1', 'fc2'];

function firstRank(network: AdaptedNetwork, modules: readonly RankedModule[]): number {
  if (network === 'unet') return modules[0]?.rank ?? 1;
  const place = ({ module }: RankedModule): number => {
    const kind = TEXT_ORDER.findIndex(name => module.endsWith(`.${name}`));
    const layer = Number(/\.layers\.(\d+)\./.exec(module)?.[1] ?? 0);
    return (kind < 4 ? 0 : 1e6) + layer * TEXT_ORDER.length + kind;
  };
  return modules.reduce<RankedModule | undefined>((a, b) => (a && place(a) <= place(b) ? a : b), undefined)?.rank ?? 1;
}

/**
 * PEFT's settings out of parsed JSON.
 * @param json adapter_config.json, or the header's lora_adapter_metadata
 * @param prefix of the keys, such as 'unet.'; '' in adapter_config.json
 * @returns undefined where there are none
 */
export function peftSettings(json: unknown, prefix: string): PeftSettings | undefined {
  if (!isObject(json)) return undefined;
  const alpha = json[`${prefix}lora_alpha`];
  if (typeof alpha !== 'number') return undefined;
  const patterns = json[`${prefix}alpha_pattern`];
  const entries = isObject(patterns) ? Object.entries(patterns) : [];
  return {
    alpha,
    alphas: Object.fromEntries(entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number')),
    rankStabilised: json[`${prefix}use_rslora`] === true,
    dora: json[`${prefix}use_dora`] === true,
  };
}
