/** The request of `run`: the requests of its three phases, each read from run's arguments. */
import { InputError } from '../../core/errors.ts';
import { checkedSeed, Generator } from '../../schedulers/generator.ts';
import type { Limits } from '../diffusion/argument-checks.ts';
import { type Generators, generatorOf } from '../diffusion/generators.ts';
import { preparePictures } from '../diffusion/image-latents.ts';
import { batchOf } from '../diffusion/prompt-arguments.ts';
import { type Settled, withDefaults } from './arguments.ts';
import { bindEdit, bindInvert, bindMask, checkArguments, once, type RequestHome, settle } from './phase-requests.ts';
import type { Request } from './request.ts';
import { type FromRun, type PhaseMethod, phaseArguments } from './run-arguments.ts';
import type { EditArgs, GenerateMaskArgs, InvertArgs, RunArgs } from './types.ts';

/** A phase's arguments, settled, and their names in run's. */
interface Read<M extends PhaseMethod> extends Pick<FromRun<M>, 'nameOf'> {
  readonly s: Settled<M>;
}

/** The phases of a run, everything checked that needs no model. */
export interface SettledRun {
  /** Absent where the mask is given. */
  readonly mask: Read<'generateMask'> | undefined;
  /** Absent where the latents are given. */
  readonly invert: Read<'invert'> | undefined;
  readonly edit: Read<'edit'>;
}

/**
 * Reads the arguments of the three phases out of run's.
 * @throws InputError or ShapeError
 */
export function settleRun(op: string, args: RunArgs, limits?: Limits): SettledRun {
  const mask = args.maskImage == null ? phaseArguments('generateMask', args) : undefined;
  const invert = args.imageLatents == null ? phaseArguments('invert', args) : undefined;
  // Without a negative of its own the edit is pushed away from the source, as the published guide does it.
  const own = args.negativePrompt != null || args.negativePromptEmbeds != null;
  const edit = phaseArguments('edit', args, own ? {} : FROM_SOURCE);
  return {
    mask: mask && {
      ...mask,
      s: settle(op, 'generateMask', { ...(mask.args as GenerateMaskArgs), outputType: 'pil' }, mask),
    },
    invert: invert && { ...invert, s: settle(op, 'invert', invert.args as InvertArgs, invert) },
    edit: {
      ...edit,
      s: settle(op, 'edit', edit.args as EditArgs, { nameOf: edit.nameOf, ...(limits ? { limits } : {}) }),
    },
  };
}

const FROM_SOURCE = { negativePrompt: ['sourcePrompt'], negativePromptEmbeds: ['sourcePromptEmbeds'] };

/**
 * `run`
 * @param op the method, for messages
 * @throws InputError or ShapeError, before any work on the device
 */
export function runRequest(args: RunArgs, home: RequestHome, op: string = 'run'): Request {
  checkArguments('run', args, home);
  const { autoencoder, prompts, warn } = home.model;
  const generator = generatorsOf(op, args);
  const settled = settleRun(op, args, prompts.sizes);
  const { mask, invert, edit } = settled;
  if (!mask && invert) checkNumbers(op, batchOf(invert.s), batchOf(edit.s));
  checkRows(op, settled, args.generator);
  const pictures = once(() => preparePictures(op, args.image, autoencoder, warn));
  const shared = { ...home, pictures, generator };
  const { returnLatents, inversion } = withDefaults('run', args);
  if (!invert && inversion === 'ddpm' && args.inversionNoise == null) throw noiseMissing(op);
  return {
    // In this order they are checked.
    mask: mask && bindMask(op, mask.s, shared),
    edit: bindEdit(
      op,
      edit.s,
      { ...shared, nameOf: edit.nameOf },
      { mask: !!mask, latents: !!invert, noise: invert?.s.inversion === 'ddpm' },
    ),
    invert: invert && bindInvert(op, invert.s, { ...shared, nameOf: invert.nameOf }, returnLatents),
    pictures: mask || invert ? pictures() : undefined,
  };
}

/** A stream for each phase: fresh ones with the seed, or one for all. */
function generatorsOf(op: string, args: RunArgs): () => Generators {
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
  checkedSeed(seed);
  return () => new Generator(seed);
}

/** Latents of a DDPM inversion are edited with the noise that it found. */
function noiseMissing(op: string): InputError {
  return new InputError({
    op,
    problem: 'latents of a DDPM inversion without its noise',
    received: 'imageLatents alone',
    path: 'inversionNoise',
    fix: "Pass the noise that invert() returned with them, or for latents of another inversion inversion 'ddim'.",
  });
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

/** One list of generators cannot serve phases that draw different numbers of rows. */
function checkRows(op: string, { mask, invert, edit }: SettledRun, generator: Generators | null | undefined): void {
  if (!Array.isArray(generator)) return;
  const batch = batchOf(edit.s);
  const rows = {
    ...(mask ? { mask: batch * mask.s.numMapsPerMask } : {}),
    ...(invert ? { inversion: batch } : {}),
    ...(edit.s.eta > 0 ? { edit: batch * edit.s.numImagesPerPrompt } : {}),
  };
  if (new Set(Object.values(rows)).size <= 1) return;
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
