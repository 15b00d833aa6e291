/** `pentimento reconstruct`: how far a model can be trusted with a picture. */
import { Command } from 'commander';
import { cutPadding, fitImage } from '../io/fit.ts';
import type { RgbImage } from '../io/image.ts';
import { sideBySide } from '../io/mask.ts';
import { readImage } from '../node/images.ts';
import { settle } from '../pipeline/diffedit/phase-requests.ts';
import type { ReconstructArgs, Reconstruction } from '../pipeline/diffedit/reconstruct.ts';
import { type Outside, withPipeline } from './command.ts';
import { checkInputsKept, inputsOf } from './inputs.ts';
import { EMBEDDED_KNOWS } from './model.ts';
import { type ArgumentOptions, addInversionOptions, type ModelOptions, type SizeOptions } from './options.ts';
import { checkOutput, encodeFor, writeAll } from './output.ts';
import { fitOptions, PICTURE_FILE, shown, sizesOf, warningsTo } from './pictures.ts';
import { givenOn, withPreset } from './preset.ts';

interface Options extends ModelOptions, SizeOptions, ArgumentOptions {
  readonly output?: string;
  /** run's sourcePrompt. */
  readonly prompt: string;
}

/** Guidance of the two ways. */
interface Setting {
  readonly invertGuidanceScale: number;
  readonly guidanceScale: number;
}

/** The command with all its options. */
export function reconstructCommand(outside: Outside): Command {
  const command = new Command('reconstruct')
    .description(
      'Invert a picture, denoise it under the same prompt, and tell in dB of PSNR what comes back: through the VAE alone, without guidance, with guidance on the way back, and on both ways.',
    )
    .argument('<image>', PICTURE_FILE)
    .option('-o, --output <file>', 'PNG or JPEG to write: the picture and what came back, in the order of the table');
  addInversionOptions(command).addHelpText('after', `\n${EMBEDDED_KNOWS}`);
  return command.action((image: string, o: Options) => reconstruct(image, o, command, outside));
}

/** None; on the way back alone; on both ways, or the inversion's own. */
function settingsOf({ guidanceScale, invertGuidanceScale }: Options): Setting[] {
  const all = [
    { invertGuidanceScale: 1, guidanceScale: 1 },
    { invertGuidanceScale: 1, guidanceScale },
    { invertGuidanceScale: invertGuidanceScale ?? guidanceScale, guidanceScale },
  ];
  const keys = all.map(setting => JSON.stringify(setting));
  return all.filter((_, i) => keys.indexOf(keys[i] as string) === i);
}

async function reconstruct(image: string, typed: Options, command: Command, outside: Outside): Promise<void> {
  const { output } = typed;
  if (output !== undefined) {
    checkOutput(output, ['.png', '.jpg', '.jpeg']);
    checkInputsKept([output], inputsOf(image, typed));
  }
  const { signal } = outside;
  const picture = await readImage(image, { signal, onWarning: warningsTo(outside.stderr) });
  settle('reconstruct', 'invert', { ...argumentsFrom(typed), image: picture });
  await withPipeline(typed, outside, async ({ pipe }, progress, seed) => {
    const recommended = pipe.recommended && { ...pipe.recommended, settings: ofBothWays(pipe.recommended.settings) };
    const { options: o, report } = withPreset(typed, givenOn(command), ['invert', 'edit'], recommended, progress.note);
    const { image: fitted, ...fit } = fitImage(picture, pipe, fitOptions(o));
    const start = performance.now();
    const found: (Setting & Reconstruction)[] = [];
    for (const setting of settingsOf(o)) {
      const call = { ...argumentsFrom(o), ...setting, image: fitted, seed };
      const one = await pipe.reconstruct({ ...call, signal, onProgress: progress.report });
      found.push({ ...setting, ...one });
    }
    signal.throwIfAborted();
    const [first] = found as [Setting & Reconstruction];
    if (output !== undefined) {
      const sheet = [first.picture, first.decoded, ...found.map(one => one.image)];
      const pictures = sheet.map((one: RgbImage) => shown(cutPadding(one, fit)));
      await writeAll([encodeFor(output, sideBySide(pictures))]);
    }
    const rows = found.map(({ psnr, ...one }) => ({
      invertGuidanceScale: one.invertGuidanceScale,
      guidanceScale: one.guidanceScale,
      psnr: rounded(psnr.image),
    }));
    progress.stop();
    if (!o.json) outside.stdout.write(table(first.psnr.decoded, found));
    return {
      ...{ command: 'reconstruct', image, files: output === undefined ? {} : { sheet: output } },
      ...sizesOf(fit, false),
      ...{ ...report, settings: ofBothWays(report.settings) },
      ...{ psnr: { vae: rounded(first.psnr.decoded), settings: rows } },
      timingsMs: { total: performance.now() - start },
    };
  });
}

/** Settings that inversion and way back take; the others of an edit are for its mask and its negative prompt. */
function ofBothWays<T extends object>(settings: T): Partial<T> {
  const { prompt: _, negativePrompt: __, ...others } = argumentsFrom({} as Options);
  const own = ['guidanceScale', 'invertGuidanceScale', ...Object.keys(others)];
  return Object.fromEntries(Object.entries(settings).filter(([name]) => own.includes(name))) as Partial<T>;
}

/** What both ways take of the options. */
function argumentsFrom(o: Options): Omit<ReconstructArgs, 'image'> {
  const { numInferenceSteps, inpaintStrength, guidanceInterval, guidanceRescale, inversion, inversionRounds } = o;
  const { numRegSteps, numAutoCorrRolls, lambdaAutoCorr, lambdaKl } = o;
  return {
    ...{ prompt: o.prompt, negativePrompt: o.invertNegativePrompt, numInferenceSteps, inpaintStrength },
    ...{ guidanceInterval, guidanceRescale, inversion, inversionRounds },
    ...{ numRegSteps, numAutoCorrRolls, lambdaAutoCorr, lambdaKl },
  };
}

/** dB to a hundredth; undefined for equal pictures, which JSON has no number for. */
function rounded(psnr: number): number | undefined {
  return Number.isFinite(psnr) ? Number(psnr.toFixed(2)) : undefined;
}

function table(vae: number, found: readonly (Setting & Reconstruction)[]): string {
  const rows: [string, number][] = [['through the VAE alone', vae]];
  for (const one of found) {
    rows.push([`inversion guidance ${one.invertGuidanceScale}, guidance ${one.guidanceScale}`, one.psnr.image]);
  }
  const width = Math.max(...rows.map(([text]) => text.length));
  return rows.map(([text, psnr]) => `${text.padEnd(width)}  ${psnr.toFixed(1)} dB\n`).join('');
}
