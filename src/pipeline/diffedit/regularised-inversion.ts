/** Inversion whose predictions are pushed towards white noise, on the host. */
import type { NdArray } from '../../core/ndarray.ts';
import { sizeOf } from '../../core/shape.ts';
import type { ScheduledStep } from '../../schedulers/index.ts';
import { type RegulariseOptions, regularise } from '../../schedulers/regularise.ts';
import { applyStep } from '../../schedulers/update.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import { runSteps, type StepEvent } from '../diffusion/sampling-loop.ts';
import { asArray, copyOf, type DeviceCall } from '../runtime/device-call.ts';
import { allFinite } from '../runtime/finite.ts';
import { guidanceAt } from './guidance.ts';
import { type History, type InvertWork, sizeFor } from './inversion-history.ts';
import type { Regularisation } from './request.ts';

/** Where an inversion on the host stands: the latents of all steps so far, the last ones, the first step that was not finite. */
interface HostInversion {
  readonly all: Float32Array<ArrayBuffer>;
  readonly x: NdArray;
  readonly bad: number | undefined;
}

/** Every prediction is pushed towards white noise on the host before its step. */
export async function* regularised(
  call: DeviceCall,
  model: LatentDiffusion,
  { request, rows, report, kept, regularisation }: InvertWork & { readonly regularisation: Regularisation },
  to: History & { clean: DeviceTensor },
): AsyncGenerator<StepEvent, void> {
  const { schedule, guidance, callback, callbackSteps } = request;
  const { generator: rolls, ...settings } = regularisation;
  const { denoiser, inverseSampler } = model;
  const program = await denoiser.noise(call, sizeFor(to.clean, guidance), rows);
  const { io } = program;
  const before = kept.held as HostInversion | undefined;
  const all = before?.all ?? new Float32Array(sizeOf(to.tensor.shape));
  let x = before?.x ?? asArray(await to.clean.read(), to.clean.shape);
  let bad = before?.bad;
  yield* runSteps(call, {
    ...{ phase: 'invert', report, kept, callback, callbackSteps },
    timesteps: schedule.map(step => step.timestep),
    submit: async i => {
      const { timestep, coefficients } = schedule[i] as ScheduledStep;
      io.latents.write(x.data);
      denoiser.set(io, timestep, guidanceAt(guidance, timestep, model.sampler));
      await program.run(call);
      const predicted = asArray(await io.output.read(), x.shape);
      const epsilon = inverseSampler.getEpsilonCoefficients(timestep);
      const draw = (bound: number): number => rolls.randint(bound);
      const e = await regularisedBy(call, predicted, x, { ...settings, epsilon, guided: guidance.guided, draw });
      x = applyStep(coefficients, e, x).prevSample;
      if (!allFinite(x.data)) bad ??= i;
      all.set(x.data, (to.frames - 1 - i) * x.data.length);
      kept.hold(i + 1, { all, x, bad } satisfies HostInversion);
    },
    latents: async () => copyOf(x),
    firstNonFinite: () => bad,
  });
  to.tensor.write(all);
}

/** Milliseconds that the host works before it looks whether anybody has given up. */
const UNHEARD_MS = 50;

/** All rounds of a step's regularisation; a signal is heard between two of them. */
async function regularisedBy(
  call: DeviceCall,
  predicted: NdArray,
  x: NdArray,
  { numRegSteps, ...options }: RegulariseOptions & { readonly numRegSteps: number },
): Promise<NdArray> {
  let e = predicted;
  let since = performance.now();
  for (let round = 0; round < numRegSteps; round++) {
    e = regularise(e, x, { ...options, numRegSteps: 1 });
    if (performance.now() - since < UNHEARD_MS) continue;
    await new Promise(resume => setTimeout(resume));
    call.check();
    since = performance.now();
  }
  return e;
}
