/** The tries of this session. */
import type { GreyImage, RgbImage } from 'pentimento';
import { box, context, make } from '../../shared/elements.ts';
import { saveText } from '../../shared/save-file.ts';
import { draw, savePicture } from './pixels.ts';
import { type Asked, writeSettings } from './settings-file.ts';

/** One edit: what was asked and what came out. */
export interface Try {
  readonly asked: Asked;
  readonly model: string;
  readonly picture: RgbImage;
  readonly photo: RgbImage;
  /** In the size that the model worked at. */
  readonly mask: GreyImage;
  readonly seconds: number;
}

/** So many are kept; older ones go. */
const MOST = 24;
/** Pixels of a side of what the list shows. */
const SMALL = 160;

/** The list; the chosen one is shown and downloaded. */
export class Tries {
  readonly #show: (chosen: Try) => void;
  readonly #buttons: HTMLButtonElement[] = [];
  #count = 0;
  chosen: Try | undefined;

  constructor(show: (chosen: Try) => void) {
    this.#show = show;
  }

  /** Adds one, and chooses it. */
  add(made: Try): void {
    const picture = thumbnail(made.picture);
    const { sourcePrompt, targetPrompt, seed } = made.asked;
    const name = `${++this.#count}: ${sourcePrompt} to ${targetPrompt}, seed ${seed}, ${made.seconds.toFixed(0)} s`;
    const button = make('button', { type: 'button', title: name }, picture);
    button.setAttribute('aria-label', `Try ${name}`);
    button.addEventListener('click', () => {
      this.#choose(made, button);
      this.#show(made);
    });
    this.#buttons.push(button);
    // Pictures are large, and nothing of them leaves this tab's memory.
    if (this.#buttons.length > MOST) this.#buttons.shift()?.parentElement?.remove();
    box('history').append(make('li', {}, button));
    box('tries').hidden = false;
    this.#choose(made, button);
  }

  /** Downloads what the chosen one made. */
  async savePicture(): Promise<void> {
    if (this.chosen) await savePicture(this.chosen.picture, 'pentimento.png');
  }

  /** Downloads its mask. */
  async saveMask(): Promise<void> {
    if (this.chosen) await savePicture(this.chosen.mask, 'pentimento-mask.png');
  }

  /** Downloads what it was asked. */
  saveSettings(): void {
    if (this.chosen) saveText(writeSettings(this.chosen.asked, this.chosen.model), 'pentimento.json');
  }

  #choose(made: Try, chosen: HTMLButtonElement): void {
    this.chosen = made;
    for (const button of this.#buttons) button.setAttribute('aria-pressed', String(button === chosen));
  }
}

/** A picture as small as it is shown in the list. */
function thumbnail(picture: RgbImage): HTMLCanvasElement {
  const whole = make('canvas');
  draw(whole, picture);
  const share = Math.min(1, SMALL / Math.min(picture.width, picture.height));
  const [width, height] = [Math.round(share * picture.width), Math.round(share * picture.height)];
  const small = make('canvas', { width, height });
  context(small).drawImage(whole, 0, 0, width, height);
  return small;
}
