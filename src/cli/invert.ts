/** `pentimento invert`: the latents of every inversion step, for later edits with `--latents`. */
import { Command } from 'commander';
import { cutPadding, fitImage, type PictureFit } from '../io/fit.ts';
import { readImage } from '../node/images.ts';
import { settle } from '../pipeline/diffedit/phase-requests.ts';
import { phaseArguments } from '../pipeline/diffedit/run-arguments.ts';
import type { InversionOutput, InvertArgs } from '../pipeline/diffedit/types.ts';
import { stepsOf } from '../pipeline/diffusion/steps-of.ts';
import { Generator } from '../schedulers/generator.ts';
import { type Outside, withPipeline } from './command.ts';
import { checkInputsKept, inputsOf } from './inputs.ts';
import { encodeLatents, madeBy, pictureHash, stepsIn } from './latents.ts';
import { EMBEDDED_KNOWS } from './model.ts';
import { type ArgumentOptions, addInversionOptions, type ModelOptions, type SizeOptions } from './options.ts';
import { besides, checkOutput, encodeFor, type OutputFile, writeAll } from './output.ts';
import { fitOptions, PICTURE_FILE, warningsTo } from './pictures.ts';
import { givenOn, withPreset } from './preset.ts';

interface Options extends ModelOptions, SizeOptions, ArgumentOptions {
  readonly output: string;
  /** run's sourcePrompt. */
  readonly prompt: string;
  readonly decodeLatents?: boolean;
}

/** The command with all its options. */
export function invertCommand(outside: Outside): Command {
  const command = new Command('invert')
    .description('Invert a picture into noise, and keep the latents of every step for edits with --latents.')
    .argument('<image>', PICTURE_FILE)
    .option('-o, --output <file>', 'safetensors file to write', 'latents.safetensors')
    .option('--decode-latents', 'also write what every step looks like');
  addInversionOptions(command).addHelpText('after', `\n${EMBEDDED_KNOWS}`);
  return command.action((image: string, o: Options) => invert(image, o, command, outside));
}

async function invert(image: string, typed: Options, command: Command, outside: Outside): Promise<void> {
  checkOutputs(image, typed);
  const { signal } = outside;
  const picture = await readImage(image, { signal, onWarning: warningsTo(outside.stderr) });
  settle('invert', 'invert', { ...argumentsFrom(typed), image: picture });
  await withPipeline(typed, outside, async (loaded, progress, seed) => {
    const { pipe, fingerprint } = loaded;
    const { options: o, report } = withPreset(typed, givenOn(command), ['invert'], pipe.recommended, progress.note);
    checkOutputs(image, o); // as many steps as the model's settings ask for
    const args = argumentsFrom(o);
    const { guidanceScale } = settle('invert', 'invert', { ...args, image: picture });
    const { image: fitted, ...fit } = fitImage(picture, pipe, fitOptions(o));
    const start = performance.now();
    const inverted = await pipe.invert({
      ...args,
      image: fitted,
      generator: new Generator(seed),
      signal: outside.signal,
      onProgress: progress.report,
    });
    const { prompt, numInferenceSteps, inpaintStrength } = o;
    const embeddings = await loaded.embeddingsIn(prompt, o.invertNegativePrompt);
    const settings = {
      ...report.settings,
      model: madeBy(loaded),
      fingerprint,
      ...(embeddings === '' ? {} : { embeddings }),
      ...(loaded.tuning ? { tuning: loaded.tuning.table } : {}),
      prompt,
      negativePrompt: o.invertNegativePrompt ?? '',
      numInferenceSteps,
      inpaintStrength,
      guidanceScale,
      seed,
      fit: o.fit,
      ...fit.working,
      picture: pictureHash(fitted),
    };
    const latents = { path: o.output, bytes: encodeLatents(inverted, settings) };
    const steps = stepPictures(inverted, fit, o.output);
    outside.signal.throwIfAborted();
    await writeAll([latents, ...steps]);
    const files = { latents: o.output, ...Object.fromEntries(steps.map((file, i) => [`step${i + 1}`, file.path])) };
    const total = performance.now() - start;
    const { fit: how, working: workingSize } = fit;
    return {
      ...{ command: 'invert', image, files, ...report, settings, fit: how, workingSize },
      ...{ steps: stepsIn(inverted.latents), timingsMs: { total } },
    };
  });
}

/** What the inversion takes of the options. */
function argumentsFrom(o: Options): Partial<InvertArgs> {
  return phaseArguments('invert', { ...o, sourcePrompt: o.prompt }).args;
}

/** @throws InputError for a file that cannot be written, or that would take the place of what is read */
function checkOutputs(image: string, o: Options): void {
  checkOutput(o.output, ['.safetensors']);
  const count = o.decodeLatents ? stepsOf('invert', o.numInferenceSteps, o.inpaintStrength, 'inpaintStrength') : 0;
  const steps = Array.from({ length: count }, (_, i) => stepName(o.output, i, count));
  for (const step of steps) checkOutput(step, ['.png']);
  checkInputsKept([o.output, ...steps], inputsOf(image, o));
}

function stepPictures({ images }: InversionOutput, fit: PictureFit, output: string): OutputFile[] {
  if (!Array.isArray(images)) return [];
  return images.map((image, i) => encodeFor(stepName(output, i, images.length), cutPadding(image, fit)));
}

/** x.step-01.png to x.step-40.png. */
function stepName(output: string, index: number, count: number): string {
  return besides(output, `step-${String(index + 1).padStart(String(count).length, '0')}`, '.png');
}
