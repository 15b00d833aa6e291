/** What the guide refuses: everything that would otherwise show only after the captioner and the language model have worked. */

import { InputError } from '../../core/errors.ts';
import { checkFolder } from '../../core/kinds.ts';
import { checkByName, checkNames, namesOf } from '../../core/known-names.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import { sizeOf } from '../../core/shape.ts';
import { checkImage, type RgbImage } from '../../io/image.ts';
import { cutSides } from '../../io/preprocess.ts';
import { checkedSeed } from '../../schedulers/generator.ts';
import { argumentsOf } from '../diffedit/arguments.ts';
import type { DiffEditPipeline } from '../diffedit/pipeline.ts';
import { type SettledRun, settleRun } from '../diffedit/run-request.ts';
import { editSchedule, invertSchedule, maskTimestep } from '../diffedit/schedules.ts';
import { checkCrossAttention } from '../diffusion/argument-checks.ts';
import { negativesOf, promptNames } from '../diffusion/prompt-arguments.ts';
import { promptRequest, SENTENCES } from './captions-and-prompts.ts';
import { DECIDED, GUIDE_OWN, type GuideArgs, type GuideModels } from './guide-arguments.ts';

const OP = 'runGuide';
const MODELS = namesOf<GuideModels>({ diffusion: 1, t5: 1, blip: 1 }) as readonly (keyof GuideModels)[];

/** Run's arguments but for what the guide decides, and the guide's own. */
const GUIDE_NAMES = [...argumentsOf('run').filter(name => !isDecided(name)), ...GUIDE_OWN];

/**
 * Checks all that needs no model.
 * @returns what the phases will make of the arguments, with stand-ins for the embeddings
 * @throws InputError or ShapeError
 */
export function checkGuideArgs(args: GuideArgs): SettledRun {
  checkByName(OP, args);
  checkNames(OP, args, GUIDE_NAMES, name =>
    isDecided(name) ? 'The guide makes it itself; DiffEditPipeline.run() takes it.' : undefined,
  );
  const { models, image, from, to, seed, numPrompts = SENTENCES } = args;
  checkByName(`${OP}.models`, models);
  checkNames(`${OP}.models`, models, MODELS);
  for (const name of MODELS) checkFolder(models[name], `${OP}.models.${name}`);
  checkImage(image, OP);
  promptRequest(from);
  promptRequest(to);
  if (seed !== undefined) checkedSeed(seed);
  if (Number.isInteger(numPrompts) && numPrompts > 0) return checkGuideSettings(args);
  const [problem, expected] = ['no number of sentences', 'a whole number of at least 1'];
  const fix = 'The published guide writes 16.';
  throw new InputError({ op: OP, problem, expected, value: numPrompts, path: 'numPrompts', fix });
}

/**
 * Checks all that needs the diffusion model's configs, but no weights.
 * @param image at the working size
 * @throws InputError
 */
export function checkGuidePlan({ mask, invert, edit }: SettledRun, pipeline: DiffEditPipeline, image: RgbImage): void {
  cutSides(image.height, image.width, pipeline.vaeScaleFactor);
  if (mask) maskTimestep(OP, pipeline.scheduler, mask.s);
  if (invert) invertSchedule(OP, pipeline.inverseScheduler, invert.s);
  editSchedule(OP, pipeline.scheduler, edit.s);
}

/**
 * Checks the settings of the three phases, for which no model needs to be found.
 * @returns what the phases will make of them, with stand-ins for the embeddings
 * @throws InputError or ShapeError
 */
export function checkGuideSettings(args: Partial<GuideArgs> & Pick<GuideArgs, 'image'>): SettledRun {
  const adapters = args.loras?.map(({ adapterName }, i) => adapterName ?? `default_${i}`);
  checkCrossAttention(OP, args.crossAttentionKwargs, adapters);
  const { negativePrompt, negativePromptEmbeds, sourceNegativePromptEmbeds, targetNegativePromptEmbeds } = args;
  const { invertNegativePrompt, invertNegativePromptEmbeds } = args;
  const negatives = [
    ...[sourceNegativePromptEmbeds, targetNegativePromptEmbeds],
    ...[invertNegativePromptEmbeds, negativePromptEmbeds],
  ];
  const embeds = standIn(negatives.find(given => given?.shape?.length === 3));
  const { models: _, gpu, loras, embeddings, onProgress, ...more } = args;
  const settled = settleRun(OP, { ...more, sourcePromptEmbeds: embeds, targetPromptEmbeds: embeds });
  for (const [prefix, own] of [
    ['', negativePrompt],
    ['invert', invertNegativePrompt],
    ['source', args.sourceNegativePrompt],
    ['target', args.targetNegativePrompt],
  ] as const) {
    negativesOf(OP, { promptEmbeds: embeds, negativePrompt: own }, promptNames(prefix));
  }
  return settled;
}

function isDecided(name: string): boolean {
  return (DECIDED as readonly string[]).includes(name);
}

/** One embedding, of the shape that its negative asks for. */
function standIn(negative?: NdArray | null): NdArray {
  const shape = [1, ...(negative?.shape?.slice(1) ?? [1, 1])];
  return ndarray(new Float32Array(sizeOf(shape)), shape);
}
