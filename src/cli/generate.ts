/** `pentimento generate`: pictures of words alone. */
import { Command } from 'commander';
import { TextToImagePipeline } from '../pipeline/image-generation/text-to-image.ts';
import type { Outside } from './command.ts';
import { checkFiles, makePictures } from './generation.ts';
import { addGenerationOptions, argumentsOf, type GenerationOptionsTyped } from './generation-options.ts';
import { EMBEDDED_KNOWS } from './model.ts';

/** The command with all its options. */
export function generateCommand(outside: Outside): Command {
  const command = new Command('generate')
    .description('Make pictures of words.')
    .argument('<prompts...>', 'what the picture shall show; several make several pictures');
  addGenerationOptions(command, 'text', 'generated.png').addHelpText('after', `\n${EMBEDDED_KNOWS}`);
  return command.action(async (prompts: string[], o: GenerationOptionsTyped) => {
    checkFiles(o, prompts);
    await makePictures(outside, o, {
      ...{ typed: command, prompts, kind: TextToImagePipeline },
      prepare: () => ({
        args: { ...argumentsOf('text', o, prompts), ...o.size },
        before: [],
        report: {},
        finish: images => images,
      }),
    });
  });
}
