import type { Picture } from '../media/media-types.ts';
import type { Plane, PlaneMap } from './resample-plane.ts';

/** The three planes of a picture, to read from and to write into. */
export function planesOf({ width, height, data }: Picture): {
  readonly luma: Plane;
  readonly blue: Plane;
  readonly red: Plane;
} {
  const halfWidth = width >> 1;
  const halfHeight = height >> 1;
  const blueStart = width * height;
  return {
    luma: { data, start: 0, width, height },
    blue: { data, start: blueStart, width: halfWidth, height: halfHeight },
    red: { data, start: blueStart + halfWidth * halfHeight, width: halfWidth, height: halfHeight },
  };
}

/**
 * Video's color samples sit on the left one of the two pixels that share them, and between the upper and the lower
 * one: column c of the color planes is centerd at `2c + 1/2` of the luma plane, row r at `2r + 1`.
 */
const colorShiftPx = 0.25;

/** A map into the luma plane, for the color planes. */
export function toColorPlane(map: PlaneMap): PlaneMap {
  return {
    x: map.x / 2 + colorShiftPx,
    y: map.y / 2,
    acrossX: map.acrossX / 2,
    acrossY: map.acrossY / 2,
    downX: map.downX / 2,
    downY: map.downY / 2,
  };
}

/** A map out of the luma plane (its places are the target's), for a target of half as many columns and rows that lie as color samples do. */
export function asColorTarget(map: PlaneMap): PlaneMap {
  const acrossX = map.acrossX * 2;
  const acrossY = map.acrossY * 2;
  return {
    x: map.x - acrossX * colorShiftPx,
    y: map.y - acrossY * colorShiftPx,
    acrossX,
    acrossY,
    downX: map.downX * 2,
    downY: map.downY * 2,
  };
}
