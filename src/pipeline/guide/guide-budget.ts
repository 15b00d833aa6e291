/**
 * How the guide stays within a budget of device memory. The pipeline saves as `maxBytes` says; the language models have nothing to
 * save, so that what they take is looked at before anything works; sentences are encoded in as many turns as it needs.
 */
import { DeviceError } from '../../core/errors.ts';
import type { RgbImage } from '../../io/image.ts';
import { concatenate } from '../../io/preprocess.ts';
import { argumentsIn } from '../diffedit/arguments.ts';
import type { DiffEditPipeline } from '../diffedit/pipeline.ts';
import type { PromptEncoder } from '../diffusion/embed-prompts.ts';
import type { CallPlan } from '../runtime/memory-plan.ts';
import type { DeviceModelOptions } from '../runtime/model-options.ts';
import { BlipForConditionalGeneration } from '../text/blip.ts';
import { T5ForConditionalGeneration } from '../text/t5.ts';
import { caption, generatePrompts, promptRequest, SENTENCES } from './captions-and-prompts.ts';
import type { GuideArgs } from './guide-arguments.ts';

const OP = 'runGuide';

/** What is looked at. */
export interface GuideToPlan {
  /** As the guide was called. */
  readonly args: GuideArgs;
  /** Opened, without weights. */
  readonly pipeline: DiffEditPipeline;
  /** How the other two models are opened. */
  readonly loading: DeviceModelOptions;
  /** At the working size. */
  readonly image: RgbImage;
}

/**
 * Looks whether every model of the guide can do its part within `maxBytes`. No weights are read and nothing is done on the device.
 * @throws DeviceError for the first that cannot: what it needs, and what would help
 */
export async function checkGuideBudget(
  maxBytes: number,
  { args, pipeline, loading, image }: GuideToPlan,
): Promise<void> {
  const { models, from, to, captionPrefix, numPrompts: n = SENTENCES, signal } = args;
  // What the sentences will be makes no difference: their mean has the size of one embedding.
  const prompts = { sourcePrompt: from, targetPrompt: to };
  const planned = pipeline.plan({ ...argumentsIn('run', args), ...prompts, image, onProgress: undefined });
  await planned.catch(error => {
    throw error instanceof DeviceError ? ofGuide(error) : error;
  });
  const unloaded = { ...loading, loadWhenNeeded: true };
  const blip = await BlipForConditionalGeneration.fromPretrained(models.blip, unloaded);
  try {
    const remedy = 'a smaller captioner';
    const planner = {
      async caption(picture: RgbImage, prefix?: string, options: object = {}) {
        checkPlan('captioner', await blip.plan(picture, { ...options, prefix }), maxBytes, remedy);
        return { text: '' };
      },
    };
    await caption(planner, image, captionPrefix, { signal });
  } finally {
    blip.dispose();
  }
  const t5 = await T5ForConditionalGeneration.fromPretrained(models.t5, unloaded);
  try {
    const planner = {
      async generate(text: string, options: object) {
        const remedy = 'a smaller language model, fewer sentences (numPrompts)';
        checkPlan('language model', await t5.plan(text, options), maxBytes, remedy);
        return { texts: [], sequences: [] };
      },
    };
    // All sentences are as long as they may be: only the longer request needs a look.
    const idsOf = (concept: string): number => t5.tokenizer?.encode(promptRequest(concept)).ids.length ?? 0;
    await generatePrompts(planner, idsOf(from) > idsOf(to) ? from : to, { n, signal });
  } finally {
    t5.dispose();
  }
}

function checkPlan(noun: string, { peakBytes }: CallPlan, maxBytes: number, remedy: string): void {
  if (peakBytes <= maxBytes) return;
  throw new DeviceError({
    op: OP,
    problem: `the ${noun} needs more device memory than it may take`,
    expected: `at most ${maxBytes} bytes`,
    received: `${peakBytes} bytes, which nothing can save: its weights are not streamed`,
    path: 'maxBytes',
    fix: `Use dtype 'float16', ${remedy}, or a larger maxBytes.`,
  });
}

/** The pipeline's refusal of a plan, as the guide's. */
function ofGuide(error: DeviceError): DeviceError {
  const { problem, expected, received, path, fix } = error;
  const place = { ...(path === undefined ? {} : { path }), ...(fix === undefined ? {} : { fix }) };
  return new DeviceError({ op: OP, problem, expected, received, ...place, cause: error });
}

/**
 * A text encoder within a budget: sentences go through it together, or, where that is refused, in two halves, and so on. No embedding
 * depends on the sentences beside it.
 */
export function encoderWithinBudget(encoder: PromptEncoder): PromptEncoder {
  const encodePrompt: PromptEncoder['encodePrompt'] = async (prompt, options) => {
    const sentences = typeof prompt === 'string' ? [prompt] : prompt;
    try {
      return await encoder.encodePrompt(sentences, options);
    } catch (error) {
      const tooMany = error instanceof DeviceError && error.path === 'maxBytes' && sentences.length > 1;
      if (!tooMany) throw error;
      const half = Math.ceil(sentences.length / 2);
      const first = await encodePrompt(sentences.slice(0, half), options);
      const second = await encodePrompt(sentences.slice(half), options);
      return { promptEmbeds: concatenate([first.promptEmbeds, second.promptEmbeds], 'encodePrompt') };
    }
  };
  return { encodePrompt };
}
