/** The training config that LDM's users keep beside a checkpoint (v2-inference-v.yaml and its kin): what it says that the file does not. */
import { InputError } from '../../core/errors.ts';

/** How many attention heads a level of C channels has: always as many, or C / width. */
export type HeadRule = { readonly count: number } | { readonly width: number };

/** What a training config says. */
export interface LdmTrainingConfig {
  /** In diffusers' words. */
  readonly predictionType: 'epsilon' | 'v_prediction' | 'sample';
  /** Noise levels. */
  readonly timesteps: number;
  /** First beta and last, of a schedule that is linear in their square roots. */
  readonly betas: readonly [start: number, end: number];
  /** The UNet works on latents multiplied by this; undefined where it is not said. */
  readonly scaleFactor: number | undefined;
  /** Undefined where it is not said. */
  readonly heads: HeadRule | undefined;
  /** Channels of the UNet's levels, of the autoencoder's, and the width of text embeddings, to be compared with the file's. */
  readonly unetChannels: readonly number[] | undefined;
  readonly vaeChannels: readonly number[] | undefined;
  readonly contextWidth: number | undefined;
}

const OP = 'LdmTrainingConfig';
const PREDICTIONS = { eps: 'epsilon', v: 'v_prediction', x0: 'sample' } as const;
const FIX = 'Name the YAML that the checkpoint was trained or published with, such as v2-inference-v.yaml.';

/** A YAML mapping under examination, by the path of names that led to it. */
class Mapping {
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #where: string;
  readonly #file: string;

  constructor(json: Readonly<Record<string, unknown>>, where: string, file: string) {
    this.#json = json;
    this.#where = where;
    this.#file = file;
  }

  /** A mapping inside; undefined where there is none. */
  inner(name: string): Mapping | undefined {
    const value = this.#json[name];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) return this.refuse(name, 'a mapping');
    return new Mapping(value as Readonly<Record<string, unknown>>, this.#at(name), this.#file);
  }

  /** A number above 0; undefined where there is none. -1 is LDM's way to say none. */
  number(name: string): number | undefined {
    const value = this.#json[name];
    if (value === undefined || value === null || value === -1) return undefined;
    return typeof value === 'number' && value > 0 ? value : this.refuse(name, 'a number above 0');
  }

  /** A list of whole numbers; undefined where there is none. */
  counts(name: string): readonly number[] | undefined {
    const value = this.#json[name];
    if (value === undefined || value === null) return undefined;
    const fits = Array.isArray(value) && value.every(item => Number.isInteger(item) && item > 0);
    return fits ? (value as number[]) : this.refuse(name, 'a list of whole numbers');
  }

  /** One of some words; the first where there is none. */
  word<W extends string>(name: string, words: readonly [W, ...W[]]): W {
    const value = this.#json[name] ?? words[0];
    return words.find(word => word === value) ?? this.refuse(name, words.join(' or '));
  }

  refuse(name: string, expected: string): never {
    const received = JSON.stringify(this.#json[name]);
    const problem = `unsupported ${this.#at(name)}`;
    throw new InputError({ op: OP, problem, expected, received, path: this.#file, fix: FIX });
  }

  #at(name: string): string {
    return this.#where === '' ? name : `${this.#where}.${name}`;
  }
}

/**
 * Reads a parsed training config.
 * @param json what a YAML reader makes of the file
 * @param path of the file, for messages
 * @param version of the checkpoint: 2 where its text encoder is OpenCLIP's
 * @throws InputError naming field, value and file for configs of other models and values that make no sense
 * @see CompVis/stable-diffusion configs/stable-diffusion/v1-inference.yaml
 */
export function parseLdmTrainingConfig(json: unknown, path: string, version: 1 | 2): LdmTrainingConfig {
  const root = typeof json === 'object' && json !== null && !Array.isArray(json) ? json : {};
  const params = new Mapping(root as Readonly<Record<string, unknown>>, '', path).inner('model')?.inner('params');
  const unet = params?.inner('unet_config')?.inner('params');
  if (!params || !unet) {
    const expected = 'model.params.unet_config.params';
    throw new InputError({ op: OP, problem: 'not a training config of Stable Diffusion', expected, path, fix: FIX });
  }
  params.word('beta_schedule', ['linear']);
  const text = params.inner('cond_stage_config')?.inner('params');
  text?.word('layer', [version === 2 ? 'penultimate' : 'last']);
  const count = unet.number('num_heads');
  const width = unet.number('num_head_channels');
  const vae = params.inner('first_stage_config')?.inner('params')?.inner('ddconfig');
  return {
    predictionType: PREDICTIONS[params.word('parameterization', ['eps', 'v', 'x0'])],
    timesteps: params.number('timesteps') ?? 1000,
    betas: [params.number('linear_start') ?? 1e-4, params.number('linear_end') ?? 2e-2],
    scaleFactor: params.number('scale_factor'),
    heads: width !== undefined ? { width } : count !== undefined ? { count } : undefined,
    unetChannels: channelsOf(unet.number('model_channels'), unet.counts('channel_mult')),
    vaeChannels: channelsOf(vae?.number('ch'), vae?.counts('ch_mult')),
    contextWidth: unet.number('context_dim'),
  };
}

function channelsOf(width: number | undefined, factors: readonly number[] | undefined): readonly number[] | undefined {
  return width === undefined ? undefined : factors?.map(factor => width * factor);
}
