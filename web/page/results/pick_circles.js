// Circles over a micrograph where particles are: places in Å from the first pixel's centre.
export function drawCircles(pen, { toCanvas, scale }, { x_A: xs, y_A: ys }, radiusA, pixelA, colour) {
  const size = Math.max(3, (radiusA / pixelA) * scale);
  pen.lineWidth = 1.6; pen.strokeStyle = colour; pen.beginPath();
  for (let i = 0; i < xs.length; i += 1) { const [x, y] = toCanvas(xs[i] / pixelA + 0.5, ys[i] / pixelA + 0.5); pen.moveTo(x + size, y); pen.arc(x, y, size, 0, 2 * Math.PI); }
  pen.stroke();
}
