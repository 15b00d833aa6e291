/** `pentimento mask`: only the mask of an edit. */

import { Command } from 'commander';
import { cutPadding, fitImage } from '../io/fit.ts';
import { maskToImage } from '../io/mask.ts';
import { readImage } from '../node/images.ts';
import { shareOf } from '../pipeline/batch/picture-edit.ts';
import { settle } from '../pipeline/diffedit/phase-requests.ts';
import { phaseArguments } from '../pipeline/diffedit/run-arguments.ts';
import { Generator } from '../schedulers/generator.ts';
import { type Outside, withPipeline } from './command.ts';
import { checkInputsKept, inputsOf } from './inputs.ts';
import { EMBEDDED_KNOWS } from './model.ts';
import {
  type ArgumentOptions,
  addArguments,
  addModelOptions,
  addPrompts,
  addSizeOptions,
  argumentOption,
  type ModelOptions,
  type SizeOptions,
} from './options.ts';
import { checkOutput, encodeFor, writeAll } from './output.ts';
import { fitOptions, PICTURE_FILE, sizeNote, sizesOf, warningsTo } from './pictures.ts';
import { givenOn, withPreset } from './preset.ts';

interface Options extends ModelOptions, SizeOptions, ArgumentOptions {
  readonly output: string;
}

/** The command with all its options. */
export function maskCommand(outside: Outside): Command {
  const command = new Command('mask')
    .description(
      'Find where two prompts want different pictures, and write that as a mask: white is what would change.',
    )
    .argument('<image>', PICTURE_FILE)
    .option('-o, --output <file>', 'PNG to write', 'mask.png');
  addPrompts(command);
  addArguments(command, 'Mask', { of: 'generateMask' }).addOption(argumentOption('maskGuidanceScale'));
  addArguments(command, 'Steps and guidance', { of: 'generateMask' });
  addSizeOptions(command);
  addModelOptions(command).addHelpText('after', `\n${EMBEDDED_KNOWS}`);
  return command.action((image: string, o: Options) => mask(image, o, command, outside));
}

async function mask(image: string, o: Options, command: Command, outside: Outside): Promise<void> {
  checkOutput(o.output, ['.png']);
  checkInputsKept([o.output], inputsOf(image, o));
  const { signal } = outside;
  const picture = await readImage(image, { signal, onWarning: warningsTo(outside.stderr) });
  settle('mask', 'generateMask', { ...phaseArguments('generateMask', o).args, image: picture });
  await withPipeline(o, outside, async ({ pipe }, progress, seed) => {
    const { options, report } = withPreset(o, givenOn(command), ['generateMask'], pipe.recommended, progress.note);
    const { image: fitted, ...fit } = fitImage(picture, pipe, fitOptions(options));
    const sizes = sizeNote(fit, false);
    if (sizes !== undefined) progress.note(sizes);
    const start = performance.now();
    const found = await pipe.generateMask({
      ...phaseArguments('generateMask', options).args,
      image: fitted,
      generator: new Generator(seed),
      signal: outside.signal,
      onProgress: progress.report,
    });
    outside.signal.throwIfAborted();
    const drawn = cutPadding(maskToImage(found.mask, pipe.vaeScaleFactor), fit);
    await writeAll([encodeFor(o.output, drawn)]);
    const total = performance.now() - start;
    const [files, masked] = [{ mask: o.output }, shareOf(found.mask)];
    return { command: 'mask', image, files, ...sizesOf(fit, false), masked, ...report, timingsMs: { total } };
  });
}
