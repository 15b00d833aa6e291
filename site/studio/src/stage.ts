/** The picture in the middle: the photo, the part of it that the model sees, previews, and before and after. */
import type { PictureFit, RgbImage } from 'pentimento';
import { box, canvas, input } from '../../shared/elements.ts';
import { draw } from './pixels.ts';

/** What is shown. */
export class Stage {
  readonly #stage = box('stage');
  readonly #after = canvas('after');
  readonly #preview = canvas('preview');

  constructor() {
    input('slider').addEventListener('input', () => this.#compare());
    // The border is dragged where it is seen, too.
    const drag = (event: PointerEvent): void => {
      const { left, width } = this.#stage.getBoundingClientRect();
      input('slider').value = String((100 * (event.clientX - left)) / width);
      this.#compare();
    };
    this.#after.addEventListener('pointerdown', event => {
      this.#after.setPointerCapture(event.pointerId);
      drag(event);
    });
    this.#after.addEventListener('pointermove', event => {
      if (event.buttons & 1) drag(event);
    });
  }

  /** The canvas for previews of latent size. */
  get preview(): HTMLCanvasElement {
    return this.#preview;
  }

  /** Whether an outcome is shown. */
  get shows(): boolean {
    return !this.#after.hidden;
  }

  /** Shows a photo; what was edited before goes. */
  photo(photo: RgbImage): void {
    draw(canvas('before'), photo);
    const ratio = photo.width / photo.height;
    this.#stage.classList.remove('empty');
    this.#stage.style.aspectRatio = String(ratio);
    box('view').style.setProperty('--wide', `min(100%, ${70 * ratio}vh)`);
    this.result(undefined);
  }

  /** Shows where in the photo the model works. */
  fit({ fit, picture, region, content, working }: PictureFit): void {
    const [x, y] = [region.width / content.width, region.height / content.height];
    const percent = (part: number, whole: number): string => `${(100 * part) / whole}%`;
    box('working').classList.toggle('cropped', fit === 'crop');
    Object.assign(box('working').style, {
      left: percent(region.left - content.left * x, picture.width),
      top: percent(region.top - content.top * y, picture.height),
      width: percent(working.width * x, picture.width),
      height: percent(working.height * y, picture.height),
    });
  }

  /** Shows the outcome beside the photo, or the photo alone. */
  result(after: RgbImage | undefined): void {
    this.#after.hidden = !after;
    box('border').hidden = !after;
    box('compare').hidden = !after;
    box('working').classList.toggle('behind', after !== undefined);
    this.#preview.hidden = true;
    if (after) {
      draw(this.#after, after);
      this.#compare();
    }
  }

  #compare(): void {
    const { value } = input('slider');
    this.#after.style.clipPath = `inset(0 0 0 ${value}%)`;
    box('border').style.left = `${value}%`;
  }
}
