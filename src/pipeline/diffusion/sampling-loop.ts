/** The loop that every sampler runs in: one step in flight, progress, abort, and readers of the latents. */
import { InputError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import type { StepCoefficients } from '../../schedulers/index.ts';
import type { StepValues } from '../../tensor/ops/diffusion.ts';
import type { DeviceCall, PhaseReport } from '../runtime/device-call.ts';
import { nonFiniteLatents } from '../runtime/finite.ts';
import type { KeptPhase, LoopState } from '../runtime/kept-phases.ts';

/** One step of a loop, as the async iterators yield it. */
export interface StepEvent {
  /** Whose loop it is. */
  readonly phase: 'mask' | 'invert' | 'edit' | 'generate';
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
  /** What of it outlives a lost device. */
  readonly kept: KeptPhase;
  /** Of a loop on the device: what it changes. One on the host tells `kept` itself. */
  readonly state?: LoopState | undefined;
  /** The first step whose result was not finite, asked behind the last one. */
  readonly firstNonFinite: () => number | undefined | Promise<number | undefined>;
  /** Told after every `callbackSteps`-th step. */
  readonly callback?: StepCallback | undefined;
  /** At least 1; default 1. */
  readonly callbackSteps?: number | undefined;
}

/**
 * Runs steps with at most one in flight behind the one being recorded, so that progress, abort and memory keep up with the
 * device. Reads nothing back unless somebody asks, but for the state that is kept every few steps, for which it does not wait, and one
 * word at the end. A loop that runs again goes on behind what was kept, and tells nobody twice.
 * @throws NumericsError where the result of a step was not finite; the signal's reason
 */
export async function* runSteps(call: DeviceCall, loop: SamplingLoop): AsyncGenerator<StepEvent, void> {
  const { phase, report, timesteps, callback, callbackSteps = 1, kept } = loop;
  const of = timesteps.length;
  const done = (step: number): void => {
    if (kept.isNew(step)) report.done(step, { timestep: timesteps[step - 1] });
  };
  let flying: Promise<void> = Promise.resolve();
  let last = -1;
  const watch = loop.state && kept.watch(loop.state, of);
  const first = kept.resume();
  try {
    for (const [i, timestep] of [...timesteps.entries()].slice(first)) {
      call.check();
      await loop.submit(i);
      last = i;
      await watch?.after(i + 1);
      const idle = call.memory.gpu.idle();
      idle.catch(() => undefined); // awaited below, or not at all where the call ends early
      await flying;
      if (i > first) done(i);
      flying = idle;
      const latents = (): Promise<NdArray> => (last === i ? loop.latents() : Promise.reject(outdated(phase, i)));
      if (callback && i % callbackSteps === 0 && i >= kept.called) {
        await callback(i, timestep, latents);
        kept.called = i + 1;
      }
      if (i < kept.yielded) continue;
      yield { phase, step: i, of, timestep, latents };
      kept.yielded = i + 1;
    }
    await flying;
    done(of);
    call.check();
    const bad = await loop.firstNonFinite();
    if (bad !== undefined) throw nonFiniteLatents(phase, { step: bad, timesteps, dtype: call.memory.dtype });
  } finally {
    last = -1; // what the readers read now belongs to the next call
    watch?.dispose();
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
