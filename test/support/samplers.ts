/** Recordings of diffusers' samplers, written by scripts/golden/samplers.py, and the runs that they are of. */
import { readFileSync } from 'node:fs';
import type { NdArray } from '../../src/core/ndarray.ts';
import {
  DDIMScheduler,
  DDPMScheduler,
  DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler,
  Generator,
  LCMScheduler,
  PNDMScheduler,
  type Run,
  UniPCMultistepScheduler,
} from '../../src/schedulers/index.ts';
import { fieldsOf } from './scheduler-numbers.ts';

/** By diffusers' name, which is ours. */
export const SAMPLERS = {
  EulerDiscreteScheduler,
  EulerAncestralDiscreteScheduler,
  DPMSolverMultistepScheduler,
  UniPCMultistepScheduler,
  PNDMScheduler,
  LCMScheduler,
  DDPMScheduler,
};

/** Those and DDIM. */
export const ALL_SAMPLERS = { ...SAMPLERS, DDIMScheduler };

/** A recorded run. */
export interface RecordedRun {
  /** Config. */
  readonly c: Record<string, unknown>;
  /** Steps, or what set_timesteps was given. */
  readonly n: number | Record<string, unknown>;
  /** Where it began. */
  readonly from?: number;
  /** Sum of (i + 1) (t + 1). */
  readonly t: number;
  /** Sum of sigmas. */
  readonly s?: number;
  /** Deviation of the first noise, where it is not 1. */
  readonly i?: number;
  /** The last sample, base64. */
  readonly v: string;
}

// biome-ignore lint/suspicious/noExplicitAny: free-form JSON, each test knows its own file
export function loadSamplers(name: string): any[] {
  return JSON.parse(readFileSync(new URL(`../golden/samplers/${name}.json`, import.meta.url), 'utf8')).cases;
}

/** Of every recording. */
export const SHAPE: readonly number[] = [2, 2, 2, 2];

/** The stand-in for a model, which depends on the timestep that it is told. */
export function recordedModel(x: NdArray, timestep: number): NdArray {
  return {
    data: x.data.map(v => Math.fround(Math.tanh(v * 0.5 + 0.1) * (0.6 + 0.4 * (timestep / 1000)))),
    shape: x.shape,
  };
}

/** A run as the recordings name it. */
export function runOf(n: RecordedRun['n']): Run {
  return typeof n === 'number' ? n : fieldsOf(n);
}

/** The generator that every recording begins with, and its first noise. */
export function recordedStart(): { generator: Generator; noise: NdArray } {
  const generator = new Generator(7);
  return { generator, noise: { data: generator.randn(SHAPE), shape: SHAPE } };
}

/** All values times a factor. */
export function times(x: NdArray, factor: number): NdArray {
  return { data: x.data.map(v => v * factor), shape: x.shape };
}
