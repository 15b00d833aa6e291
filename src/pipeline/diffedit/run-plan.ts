/** `run`: its arguments distributed over the three phases, and everything checked that the phases would find wrong later. */

import { InputError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { Generator, type ScheduledStep } from '../../schedulers/index.ts';
import { checkGenerators, type Generators, generatorOf } from '../diffusion/generators.ts';
import { checkDraws, latentSides, preparePictures } from '../diffusion/image-latents.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import { batchOf, type PromptArgs, type PromptNames, promptNames } from '../diffusion/prompt-arguments.ts';
import { sourceOf, targetOf } from './checks.ts';
import {
  checkMaskSize,
  type EditSettings,
  editSchedule,
  editSettings,
  prepareLatents,
  prepareMask,
} from './edit-phase.ts';
import { checkRegularised, type InvertSettings, invertSchedule, invertSettings } from './invert-phase.ts';
import { checkPair, type MaskSettings, maskSettings, maskTimestep } from './mask-phase.ts';
import type { RunArgs } from './types.ts';

/** What `run` will do. */
export interface RunPlan {
  readonly batch: number;
  /** Absent where mask and latents were given. */
  readonly image: NdArray | undefined;
  /** Absent where the mask was given. */
  readonly mask: { readonly settings: MaskSettings; readonly timestep: number } | undefined;
  /** Absent where the latents were given. */
  readonly invert: { readonly settings: InvertSettings; readonly schedule: readonly ScheduledStep[] } | undefined;
  readonly edit: { readonly settings: EditSettings; readonly schedule: readonly ScheduledStep[] };
  /** The mask that was given, [B, 1, h, w]. */
  readonly maskImage: NdArray | undefined;
  /** The latents that were given, [T, B, 4, h, w]. */
  readonly latents: NdArray | undefined;
  readonly names: { readonly invert: PromptNames; readonly edit: PromptNames };
  /** For the next phase. */
  generator(): Generators;
}

/**
 * Plans a run before any work on the device.
 * @throws InputError or ShapeError
 */
export function planRun(op: string, model: LatentDiffusion, args: RunArgs): RunPlan {
  const draw = generators(op, args);
  const [m, v] = [args.maskImage == null, args.imageLatents == null];
  const maskArgs = { ...args, guidanceScale: firstOf(args.maskGuidanceScale, args.guidanceScale) };
  const mask = m ? maskSettings(op, { ...maskArgs, outputType: 'pil' as const }) : undefined;
  const inverted = invertArgs(args);
  const invert = v ? invertSettings(op, { ...args, ...inverted.args }, inverted.names) : undefined;
  const edited = editArgs(args);
  const edit = editSettings(op, { ...args, ...edited.args }, edited.names);
  if (mask) checkPair(op, model.prompts.shapeOf(sourceOf(mask)), model.prompts.shapeOf(targetOf(mask)));
  else if (invert) checkNumbers(op, batchOf(invert), batchOf(edit));
  const batch = batchOf(edit);
  const image = m || v ? preparePictures(op, args.image, model.autoencoder, model.warn) : undefined;
  const schedule = editSchedule(op, model.scheduler, edit);
  const plan = {
    ...{ batch, image, names: { invert: inverted.names, edit: edited.names }, generator: draw },
    mask: mask && { settings: mask, timestep: maskTimestep(op, model.scheduler, mask) },
    invert: invert && { settings: invert, schedule: invertSchedule(op, model.inverseScheduler, invert) },
    edit: { settings: edit, schedule },
    ...given(op, model, args, { batch, image, frames: schedule.length }),
  };
  checkNoise(op, model, plan, args.generator ?? undefined);
  return plan;
}

function firstOf(own: number | undefined, shared: number | undefined): number | undefined {
  return own === undefined ? shared : own;
}

/** A stream for each phase: fresh ones with the seed, or one for all. */
function generators(op: string, args: RunArgs): () => Generators {
  const { seed } = args;
  if (seed === undefined) {
    const shared = generatorOf(op, args);
    return () => shared;
  }
  if (args.generator != null) {
    throw new InputError({
      op,
      problem: 'seed and generator were both given',
      expected: 'one of the two',
      fix: 'Leave the generator out: each phase draws from a fresh one with the seed.',
    });
  }
  new Generator(seed); // refuses what is no seed
  return () => new Generator(seed);
}

interface Named {
  readonly args: PromptArgs;
  /** Under which the caller knows them. */
  readonly names: PromptNames;
}

function invertArgs(args: RunArgs): Named & { readonly args: { readonly guidanceScale: number | undefined } } {
  return {
    args: {
      prompt: args.sourcePrompt,
      promptEmbeds: args.sourcePromptEmbeds,
      negativePrompt: args.invertNegativePrompt,
      negativePromptEmbeds: args.invertNegativePromptEmbeds,
      guidanceScale: firstOf(args.invertGuidanceScale, args.guidanceScale),
    },
    names: {
      ...promptNames('source'),
      negativePrompt: 'invertNegativePrompt',
      negativePromptEmbeds: 'invertNegativePromptEmbeds',
    },
  };
}

/** Without a negative of its own the edit is pushed away from the source, as the published guide does it. */
function editArgs(args: RunArgs): Named {
  const own = args.negativePrompt != null || args.negativePromptEmbeds != null;
  const [plain, source] = [promptNames(''), promptNames('source')];
  return {
    args: {
      prompt: args.targetPrompt,
      promptEmbeds: args.targetPromptEmbeds,
      negativePrompt: own ? args.negativePrompt : args.sourcePrompt,
      negativePromptEmbeds: own ? args.negativePromptEmbeds : args.sourcePromptEmbeds,
    },
    names: {
      ...promptNames('target'),
      negativePrompt: own ? plain.negativePrompt : source.prompt,
      negativePromptEmbeds: own ? plain.negativePromptEmbeds : source.promptEmbeds,
    },
  };
}

function checkNumbers(op: string, sources: number, targets: number): void {
  if (sources === targets) return;
  throw new InputError({
    op,
    problem: 'sourcePrompt and targetPrompt differ in number',
    expected: sources,
    received: targets,
    path: 'targetPrompt',
    fix: 'Pass as many target prompts as source prompts.',
  });
}

/** Mask and latents of the caller, of the picture's size where there is a picture. */
function given(
  op: string,
  model: LatentDiffusion,
  args: RunArgs,
  o: { readonly batch: number; readonly image: NdArray | undefined; readonly frames: number },
): Pick<RunPlan, 'maskImage' | 'latents'> {
  const { batch, image, frames } = o;
  const maskImage = args.maskImage == null ? undefined : prepareMask(op, args.maskImage, batch);
  const sides = image && latentSides(image, model.autoencoder);
  if (maskImage && sides) checkMaskSize(op, maskImage, sides);
  if (args.imageLatents == null) return { maskImage, latents: undefined };
  const size = [model.denoiser.channels, ...(sides ?? maskImage?.shape.slice(2) ?? [])];
  const of = sides ? 'picture' : 'mask';
  return { maskImage, latents: prepareLatents(op, args.imageLatents, { size, of, batch, frames }) };
}

/** What the phases will draw: rows of noise, and the rolls of regularisation. */
function checkNoise(
  op: string,
  model: LatentDiffusion,
  plan: Omit<RunPlan, 'generator'>,
  generator: Generators = new Generator(0),
): void {
  const { batch, image, mask, invert, edit } = plan;
  const { eta, numImagesPerPrompt } = edit.settings;
  const rows = {
    ...(mask ? { mask: batch * mask.settings.numMapsPerMask } : {}),
    ...(invert ? { inversion: batch } : {}),
    ...(eta > 0 ? { edit: batch * numImagesPerPrompt } : {}),
  };
  if (Array.isArray(generator) && new Set(Object.values(rows)).size > 1) {
    throw new InputError({
      op,
      problem: 'the phases draw different numbers of rows, which one list of generators cannot serve',
      expected: 'one generator, or a seed',
      received: `${generator.length} for ${Object.entries(rows)
        .map(([phase, count]) => `${count} (${phase})`)
        .join(', ')}`,
      path: 'generator',
      fix: 'Or call generateMask(), invert() and edit(), each with a list of its own.',
    });
  }
  if (image && mask) checkDraws(op, image, { batch, repeat: mask.settings.numMapsPerMask, generator });
  if (image && invert) {
    checkDraws(op, image, { batch, repeat: 1, generator });
    const shape = [batch, model.denoiser.channels, ...latentSides(image, model.autoencoder)];
    checkRegularised(op, invert.settings, { shape, generator, scheduler: model.inverseScheduler });
  }
  if (eta > 0) checkGenerators(op, generator, batch * numImagesPerPrompt);
}
