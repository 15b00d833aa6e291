/** What the guide refuses: everything that would otherwise show only after the captioner and the language model have worked. */

import { InputError } from '../../core/errors.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import { sizeOf } from '../../core/shape.ts';
import { checkImage, type RgbImage } from '../../io/image.ts';
import { preprocessImage } from '../../io/preprocess.ts';
import { Generator } from '../../schedulers/index.ts';
import { checkCrossAttention } from '../diffedit/checks.ts';
import { type EditSettings, editSchedule, editSettings } from '../diffedit/edit-phase.ts';
import { type InvertSettings, invertSchedule, invertSettings } from '../diffedit/invert-phase.ts';
import { type MaskSettings, maskSettings, maskTimestep } from '../diffedit/mask-phase.ts';
import type { DiffEditPipeline } from '../diffedit/pipeline.ts';
import { negativesOf, promptNames } from '../diffusion/prompt-arguments.ts';
import type { GuideArgs } from './guide-arguments.ts';
import { promptRequest } from './helpers.ts';

const OP = 'runGuide';

/** Settings of the three phases. */
export interface GuideSettings {
  readonly mask: MaskSettings;
  readonly invert: InvertSettings;
  readonly edit: EditSettings;
}

/**
 * Checks all that needs no model.
 * @returns what the phases will make of the arguments, with stand-ins for the embeddings
 * @throws InputError or ShapeError
 */
export function checkGuideArgs(args: GuideArgs): GuideSettings {
  const { image, from, to, seed, numPrompts = 16 } = args;
  checkImage(image, OP);
  promptRequest(from);
  promptRequest(to);
  if (seed !== undefined) new Generator(seed);
  if (Number.isInteger(numPrompts) && numPrompts > 0) return settingsOf(args);
  const [problem, expected] = ['no number of sentences', 'a whole number of at least 1'];
  const fix = 'The published guide writes 16.';
  throw new InputError({ op: OP, problem, expected, received: numPrompts, path: 'numPrompts', fix });
}

/**
 * Checks all that needs the diffusion model's configs, but no weights.
 * @param image at the working size
 * @throws InputError
 */
export function checkGuidePlan(settings: GuideSettings, pipeline: DiffEditPipeline, image: RgbImage): void {
  const { mask, invert, edit } = settings;
  preprocessImage(image, { factor: pipeline.vaeScaleFactor });
  maskTimestep(OP, pipeline.scheduler, mask);
  invertSchedule(OP, pipeline.inverseScheduler, invert);
  editSchedule(OP, pipeline.scheduler, edit);
}

function settingsOf(args: GuideArgs): GuideSettings {
  checkCrossAttention(OP, args);
  const { negativePrompt, negativePromptEmbeds, sourceNegativePromptEmbeds, targetNegativePromptEmbeds } = args;
  const shared = { ...args, outputType: undefined };
  const mask = maskSettings(OP, {
    ...shared,
    guidanceScale: args.maskGuidanceScale ?? args.guidanceScale,
    sourcePromptEmbeds: standIn(sourceNegativePromptEmbeds),
    targetPromptEmbeds: standIn(targetNegativePromptEmbeds),
  });
  const invert = invertSettings(OP, {
    ...shared,
    guidanceScale: args.invertGuidanceScale ?? args.guidanceScale,
    promptEmbeds: standIn(),
    negativePrompt: args.invertNegativePrompt,
    negativePromptEmbeds: undefined,
  });
  const edit = editSettings(OP, { ...args, promptEmbeds: standIn(negativePromptEmbeds) });
  for (const [prefix, own] of [
    ['', negativePrompt],
    ['invert', args.invertNegativePrompt],
    ['source', args.sourceNegativePrompt],
    ['target', args.targetNegativePrompt],
  ] as const) {
    negativesOf(OP, { promptEmbeds: standIn(), negativePrompt: own }, promptNames(prefix));
  }
  return { mask, invert, edit };
}

/** One embedding, of the shape that its negative asks for. */
function standIn(negative?: NdArray | null): NdArray {
  const shape = [1, ...(negative?.shape?.slice(1) ?? [1, 1])];
  return ndarray(new Float32Array(sizeOf(shape)), shape);
}
