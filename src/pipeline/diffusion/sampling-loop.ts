/** The loop that every sampler runs in: one step in flight, progress, abort, and readers of the latents. */
import { InputError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import type { StepCoefficients } from '../../schedulers/index.ts';
import type { StepValues } from '../../tensor/ops/diffusion.ts';
import type { DeviceCall, PhaseReport } from '../runtime/device-call.ts';
import { nonFiniteLatents } from '../runtime/finite.ts';

/** One step of a loop, as the async iterators yield it. */
export interface StepEvent {
  /** Whose loop it is. */
  readonly phase: 'mask' | 'invert' | 'edit';
  /** From 0. For 'mask' the number of the map. */
  readonly step: number;
  /** Steps that the loop takes in all. */
  readonly of: number;
  /** At which the network was evaluated, 0 to 999 for Stable Diffusion. */
  readonly timestep: number;
  /** Reads the latents [B, 4, H, W] behind this step; only until the next step is asked for, or the last one's end. */
  latents(): Promise<NdArray>;
}

/**
 * Called after a step, with the step's number, its timestep and a reader of the latents [B, 4, H, W]; reading waits for the
 * device, not reading costs nothing. The loop waits for what it returns.
 */
export type StepCallback = (step: number, timestep: number, latents: () => Promise<NdArray>) => void | Promise<void>;

/** What `runSteps` is to do. */
export interface SamplingLoop {
  /** Of the events. */
  readonly phase: StepEvent['phase'];
  /** Of the phase, begun before its program is compiled. */
  readonly report: PhaseReport;
  /** The timestep of each step. */
  readonly timesteps: readonly number[];
  /** Submits step i; must not wait for the device unless it has to. */
  readonly submit: (i: number) => void | Promise<void>;
  /** Reads the latents behind the last step submitted; a copy, which the caller may change. */
  readonly latents: () => Promise<NdArray>;
  /** The first step whose result was not finite, asked behind the last one. */
  readonly firstNonFinite: () => number | undefined | Promise<number | undefined>;
  /** Told after every `callbackSteps`-th step. */
  readonly callback?: StepCallback | undefined;
  /** At least 1; default 1. */
  readonly callbackSteps?: number | undefined;
}

/**
 * Runs steps with at most one in flight behind the one being recorded, so that progress, abort and memory keep up with the
 * device. Reads nothing back unless somebody asks, and one word at the end.
 * @throws NumericsError where the result of a step was not finite; the signal's reason
 */
export async function* runSteps(call: DeviceCall, loop: SamplingLoop): AsyncGenerator<StepEvent, void> {
  const { phase, report, timesteps, callback, callbackSteps = 1 } = loop;
  const of = timesteps.length;
  let flying: Promise<void> = Promise.resolve();
  let last = -1;
  try {
    for (const [i, timestep] of timesteps.entries()) {
      call.check();
      await loop.submit(i);
      last = i;
      const done = call.memory.gpu.idle();
      done.catch(() => undefined); // awaited below, or not at all where the call ends early
      await flying;
      if (i > 0) report.done(i, timesteps[i - 1]);
      flying = done;
      const latents = (): Promise<NdArray> => (last === i ? loop.latents() : Promise.reject(outdated(phase, i)));
      if (callback && i % callbackSteps === 0) await callback(i, timestep, latents);
      yield { phase, step: i, of, timestep, latents };
    }
    await flying;
    report.done(of, timesteps[of - 1]);
    call.check();
    const bad = await loop.firstNonFinite();
    if (bad !== undefined) throw nonFiniteLatents(phase, { step: bad, timesteps, dtype: call.memory.dtype });
  } finally {
    last = -1; // what the readers read now belongs to the next call
  }
}

function outdated(op: string, step: number): InputError {
  return new InputError({
    op,
    problem: `the latents of step ${step} are gone`,
    expected: 'a call before the next step',
    fix: 'Read the latents inside the callback, or before asking the iterator for the next step.',
  });
}

/** The kernel's numbers of a scheduler's step. */
export function stepValuesOf(c: StepCoefficients): StepValues {
  return {
    x0FromX: c.cleanSample.sample,
    x0FromNoise: c.cleanSample.output,
    epsFromX: c.noise.sample,
    epsFromNoise: c.noise.output,
    outFromX0: Math.fround(Math.sqrt(c.alphaPrev)),
    outFromEps: c.direction,
    sigma: c.sigma,
    clip: c.clip ?? 0,
  };
}
