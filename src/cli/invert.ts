/** `pentimento invert`: the latents of every inversion step, for later edits with `--latents`. */
import { Command } from 'commander';
import { readImage } from '../node/images.ts';
import { stepsOf } from '../pipeline/diffedit/checks.ts';
import type { InversionOutput } from '../pipeline/diffedit/types.ts';
import { Generator } from '../schedulers/index.ts';
import { type Outside, withPipeline } from './command.ts';
import { encodeLatents, pictureHash, stepsIn } from './latents.ts';
import { EMBEDDED_KNOWS } from './model.ts';
import {
  addInvertOptions,
  addModelOptions,
  addSizeOptions,
  addStepOptions,
  addStrengthOption,
  type InvertOptions,
  type ModelOptions,
  type SizeOptions,
  type StepOptions,
} from './options.ts';
import { besides, checkOutput, encodeFor, type OutputFile, writeAll } from './output.ts';
import { fitPicture, workingSize } from './pictures.ts';

interface Options extends ModelOptions, SizeOptions, InvertOptions, StepOptions {
  readonly output: string;
  readonly prompt: string;
  readonly inpaintStrength: number;
  readonly decodeLatents?: boolean;
}

/** The command with all its options. */
export function invertCommand(outside: Outside): Command {
  const command = new Command('invert')
    .description('Invert a picture into noise, and keep the latents of every step for edits with --latents.')
    .argument('<image>', 'PNG or JPEG, or its address')
    .option('-o, --output <file>', 'safetensors file to write', 'latents.safetensors')
    .option('--decode-latents', 'also write what every step looks like')
    .optionsGroup('Prompts:')
    .requiredOption('--source, --prompt <text>', 'what the picture shows');
  addInvertOptions(command, '--negative-prompt, --invert-negative-prompt <text>');
  addStepOptions(command);
  addStrengthOption(command);
  addSizeOptions(command);
  addModelOptions(command).addHelpText('after', `\n${EMBEDDED_KNOWS}`);
  return command.action((image: string, o: Options) => invert(image, o, outside));
}

async function invert(image: string, o: Options, outside: Outside): Promise<void> {
  checkOutput(o.output, ['.safetensors']);
  const count = o.decodeLatents ? stepsOf('invert', o.numInferenceSteps, o.inpaintStrength, 'inpaintStrength') : 0;
  for (let i = 0; i < count; i++) checkOutput(stepName(o.output, i, count), ['.png']);
  const picture = await readImage(image, outside);
  await withPipeline(o, outside, async ({ pipe, model, fingerprint }, progress, seed) => {
    const size = workingSize(picture, pipe, o);
    const fitted = fitPicture(picture, size);
    const start = performance.now();
    const { prompt, numInferenceSteps, inpaintStrength, lambdaAutoCorr, lambdaKl, numRegSteps, numAutoCorrRolls } = o;
    const guidanceScale = o.invertGuidanceScale ?? o.guidanceScale;
    const inverted = await pipe.invert({
      ...{
        prompt,
        numInferenceSteps,
        inpaintStrength,
        guidanceScale,
        lambdaAutoCorr,
        lambdaKl,
        numRegSteps,
        numAutoCorrRolls,
      },
      negativePrompt: o.invertNegativePrompt,
      image: fitted,
      decodeLatents: o.decodeLatents === true,
      generator: new Generator(seed),
      signal: outside.signal,
      onProgress: progress.report,
    });
    const settings = {
      model,
      fingerprint,
      prompt,
      negativePrompt: o.invertNegativePrompt ?? '',
      numInferenceSteps,
      inpaintStrength,
      guidanceScale,
      seed,
      ...size,
      picture: pictureHash(fitted),
    };
    const latents = { path: o.output, bytes: encodeLatents(inverted.latents, settings) };
    const steps = stepPictures(inverted, o.output);
    outside.signal.throwIfAborted();
    await writeAll([latents, ...steps]);
    const files = { latents: o.output, ...Object.fromEntries(steps.map((file, i) => [`step${i + 1}`, file.path])) };
    const total = Math.round(performance.now() - start);
    return { command: 'invert', image, files, settings, steps: stepsIn(inverted.latents), timingsMs: { total } };
  });
}

function stepPictures({ images }: InversionOutput, output: string): OutputFile[] {
  if (!Array.isArray(images)) return [];
  return images.map((image, i) => encodeFor(stepName(output, i, images.length), image));
}

/** x.step-01.png to x.step-40.png. */
function stepName(output: string, index: number, count: number): string {
  return besides(output, `step-${String(index + 1).padStart(String(count).length, '0')}`, '.png');
}
