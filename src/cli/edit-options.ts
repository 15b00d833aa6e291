/** The options of `pentimento edit`, and the edit that they describe. */
import type { Command } from 'commander';
import { type PlainEdit, plainNames } from '../pipeline/batch/plain-edit.ts';
import {
  type ArgumentOptions,
  addArguments,
  addModelOptions,
  addPasteBackOptions,
  addPrompts,
  addSizeOptions,
  type ModelOptions,
  type PasteBackOptions,
  type SizeOptions,
} from './options.ts';
import { fitOptions, pastesBack } from './pictures.ts';

/** What can be said of one picture, also by a line of a jobs file. */
export interface PictureOptions extends SizeOptions, PasteBackOptions, ArgumentOptions {
  readonly seed?: number | undefined;
  readonly mask?: string;
}

/** Options of `pentimento edit`, parsed. */
export interface EditOptions extends ModelOptions, PictureOptions {
  readonly output?: string;
  /** A file; not the pipeline's argument of the same name. */
  readonly latents?: string;
  readonly jobs?: string;
  readonly force?: boolean;
  readonly contactSheet?: boolean;
}

/** Adds what says how a picture is edited. */
export function addPictureOptions(command: Command): Command {
  addPasteBackOptions(command);
  addPrompts(command);
  for (const group of ['Mask', 'Inversion', 'Steps and guidance', 'Edit'] as const) addArguments(command, group);
  return addSizeOptions(command);
}

/** Adds all options of the command. */
export function addEditOptions(command: Command): Command {
  command
    .option(
      '-o, --output <file or folder>',
      'of one picture: PNG or JPEG to write, mask and side-by-side sheet go beside it (default: "edited.png"); of several: the folder (default: "edited")',
    )
    .option('--mask <file>', 'use this mask instead of finding one; white is what changes')
    .option('--latents <file>', 'use what `pentimento invert` wrote instead of inverting')
    .option('--jobs <file>', 'JSONL or CSV: a picture a line, with prompts and options of its own')
    .option('--force', 'of several pictures: do again what is done')
    .option('--contact-sheet', 'of several pictures: write a page of all edits into the folder');
  addPictureOptions(command);
  // Each line may have its own.
  command.on('option:jobs', () => {
    for (const option of command.options) option.makeOptionMandatory(false);
  });
  return addModelOptions(command);
}

/** The edit that options describe, as plain data. */
export function plainEditOf(o: PictureOptions & { readonly seed: number }): PlainEdit {
  const given = o as unknown as Readonly<Record<string, unknown>>;
  const values = plainNames().map(name => [name, given[name]] as const);
  const edit = Object.fromEntries(values.filter(([, value]) => value !== undefined));
  return { ...edit, ...fitOptions(o), pasteBack: pastesBack(o) };
}
