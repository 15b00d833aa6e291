/** `pentimento img2img`: pictures of words that begin with a picture. */
import { Command } from 'commander';
import { cutPadding, fitImage } from '../io/fit.ts';
import { readImage } from '../node/images.ts';
import { ImageToImagePipeline } from '../pipeline/image-generation/image-to-image.ts';
import type { Outside } from './command.ts';
import { checkFiles, makePictures } from './generation.ts';
import { addGenerationOptions, argumentsOf, type GenerationOptionsTyped } from './generation-options.ts';
import { EMBEDDED_KNOWS } from './model.ts';
import { addSizeOptions, type SizeOptions } from './options.ts';
import { fitOptions, PICTURE_FILE, sizeNote, sizesOf, warningsTo } from './pictures.ts';

type Options = GenerationOptionsTyped & SizeOptions;

/** The command with all its options. */
export function img2imgCommand(outside: Outside): Command {
  const command = new Command('img2img')
    .description('Make another picture of a picture, as words say.')
    .argument('<image>', PICTURE_FILE)
    .argument('<prompts...>', 'what the picture shall show; several make several pictures');
  addGenerationOptions(command, 'image', 'made.png', addSizeOptions).addHelpText('after', `\n${EMBEDDED_KNOWS}`);
  return command.action((image: string, prompts: string[], o: Options) =>
    make(image, prompts, o, { command, outside }),
  );
}

async function make(
  image: string,
  prompts: readonly string[],
  o: Options,
  { command, outside }: { readonly command: Command; readonly outside: Outside },
): Promise<void> {
  checkFiles(o, prompts, { image });
  const picture = await readImage(image, { signal: outside.signal, onWarning: warningsTo(outside.stderr) });
  await makePictures(outside, o, {
    ...{ typed: command, prompts, image, kind: ImageToImagePipeline },
    prepare(pipe, note) {
      const { image: fitted, ...fit } = fitImage(picture, pipe, fitOptions(o));
      const sizes = sizeNote(fit, false);
      if (sizes !== undefined) note(sizes);
      return {
        args: { ...argumentsOf('image', o, prompts), image: fitted },
        before: [cutPadding(fitted, fit)],
        report: { image, ...sizesOf(fit, false) },
        finish: images => images.map(made => cutPadding(made, fit)),
      };
    },
  });
}
