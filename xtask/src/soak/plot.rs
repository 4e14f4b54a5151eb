//! A run as a picture: what the tracer took over time, and below it what was disturbed when.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::history::{Disturbance, History};
use super::looks::{self, Look};

const SIZE: (u32, u32) = (960, 760);
/// Of each of the curves; the rest is for the disturbances.
const CURVE: u32 = 185;
/// For what is written on the left.
const LEFT: u32 = 130;
const BOTTOM: u32 = 36;
const FONT: (&str, i32) = ("sans-serif", 13);
const GREY: RGBColor = RGBColor(0x59, 0x63, 0x6e);
const COLORS: [RGBColor; 3] =
    [RGBColor(0x0b, 0x62, 0xb8), RGBColor(0x1a, 0x7f, 0x37), RGBColor(0x9a, 0x4d, 0x00)];
const DISTURBED: RGBColor = RGBColor(0xc4, 0x5a, 0x65);

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// A curve of a plot: its name, and its points in minutes.
type Curve = (&'static str, Vec<(f64, f64)>);

/// Draws it.
pub(super) fn draw(history: &History, file: &Path) -> Result<()> {
    ensure!(history.looks.len() > 1, "there is nothing to draw yet");
    let minutes = history.looks.last().map_or(0.0, |look| look.seconds) / 60.0;
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(wrong)?;
    let (first, rest) = root.split_vertically(CURVE);
    let (second, rest) = rest.split_vertically(CURVE);
    let (third, last) = rest.split_vertically(CURVE);
    let of = |number: fn(&Look) -> f64| {
        history.looks.iter().map(|look| (look.seconds / 60.0, number(look))).collect::<Vec<_>>()
    };
    let memory = [
        ("all", of(|look| look.resident as f64 / f64::from(1 << 20))),
        ("allocated", of(|look| look.allocated as f64 / f64::from(1 << 20))),
    ];
    curves(&first, minutes, "resident memory, MiB", &memory)?;
    let held = [
        ("descriptors", of(|look| look.descriptors as f64)),
        ("programs", of(|look| look.programs as f64)),
        ("maps", of(|look| look.maps as f64)),
    ];
    curves(&second, minutes, "descriptors, programs, maps", &held)?;
    curves(&third, minutes, "CPU, % of one processor", &[("", processor(&history.looks))])?;
    disturbances(&last, minutes, &history.disturbances)?;
    root.present().map_err(wrong).with_context(|| format!("cannot write {}", file.display()))
}

/// From each look to the next.
fn processor(looks: &[Look]) -> Vec<(f64, f64)> {
    looks.windows(2).map(|two| (two[1].seconds / 60.0, looks::cpu_percent(&two[1], &two[0]))).collect()
}

fn curves(area: &Area<'_>, minutes: f64, title: &str, curves: &[Curve]) -> Result<()> {
    let highest = curves.iter().flat_map(|(_, points)| points).map(|(_, y)| *y).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin_right(20)
        .margin_top(24)
        .y_label_area_size(LEFT)
        .x_label_area_size(10)
        .build_cartesian_2d(0.0..minutes, 0.0..highest * 1.15)
        .map_err(wrong)?;
    area.draw(&Text::new(title, (LEFT.cast_signed(), 5), text(FONT.1 + 1).color(&BLACK))).map_err(wrong)?;
    let mut mesh = chart.configure_mesh();
    mesh.label_style(text(FONT.1).color(&GREY)).axis_style(GREY).light_line_style(TRANSPARENT);
    mesh.bold_line_style(GREY.mix(0.25)).x_labels(13).y_labels(5).x_label_formatter(&|_| String::new());
    mesh.y_label_formatter(&|y| format!("{y:.0}")).draw().map_err(wrong)?;
    for ((name, points), color) in curves.iter().zip(COLORS) {
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2))).map_err(wrong)?;
        if let (Some((x, y)), false) = (points.last(), name.is_empty()) {
            let style = text(FONT.1).color(&color).pos(Pos::new(HPos::Right, VPos::Bottom));
            chart.draw_series([Text::new(*name, (*x, y + highest * 0.02), style)]).map_err(wrong)?;
        }
    }
    Ok(())
}

/// A row for each kind.
fn disturbances(area: &Area<'_>, minutes: f64, all: &[Disturbance]) -> Result<()> {
    let mut kinds: Vec<&str> = Vec::new();
    for one in all {
        if !kinds.contains(&one.what.as_str()) {
            kinds.push(&one.what);
        }
    }
    let rows = kinds.len().max(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .margin_right(20)
        .margin_top(8)
        .y_label_area_size(LEFT)
        .x_label_area_size(BOTTOM)
        .build_cartesian_2d(0.0..minutes, rows..0.0)
        .map_err(wrong)?;
    let mut mesh = chart.configure_mesh();
    mesh.label_style(text(FONT.1).color(&GREY)).axis_style(GREY).light_line_style(TRANSPARENT);
    mesh.bold_line_style(GREY.mix(0.25)).x_labels(13).y_labels(0).disable_y_mesh();
    mesh.x_label_formatter(&|x| format!("{x:.1}").trim_end_matches(".0").to_owned())
        .x_desc("minutes")
        .draw()
        .map_err(wrong)?;
    for (row, kind) in kinds.iter().enumerate() {
        let row = row as f64;
        let bars = all.iter().filter(|one| one.what == *kind).map(|one| {
            // What takes no time is seen as well.
            let to = one.to.map_or(minutes, |to| to / 60.0).max(one.from / 60.0 + minutes / 400.0);
            Rectangle::new([(one.from / 60.0, row + 0.2), (to, row + 0.8)], DISTURBED.filled())
        });
        chart.draw_series(bars).map_err(wrong)?;
        let (x, y) = chart.backend_coord(&(0.0, row + 0.5));
        let style = text(FONT.1).color(&BLACK).pos(Pos::new(HPos::Right, VPos::Center));
        let (left, top) = area.get_base_pixel();
        area.draw(&Text::new(*kind, (x - left - 8, y - top), style)).map_err(wrong)?;
    }
    Ok(())
}

fn text(size: i32) -> TextStyle<'static> {
    (FONT.0, size).into_font().into()
}

/// The errors of a drawing borrow what is drawn on.
fn wrong(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_and_disturbances_are_drawn() {
        let look = |index: u32| Look {
            seconds: f64::from(index) * 10.0,
            resident: 20 << 20,
            cpu_seconds: f64::from(index),
            ..Look::default()
        };
        let away = Disturbance { what: "name server away".to_owned(), from: 30.0, to: Some(60.0) };
        let mut history =
            History { looks: (0..20).map(look).collect(), disturbances: vec![away], ..History::default() };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("soak.svg");
        draw(&history, &file).unwrap();
        let svg = std::fs::read_to_string(&file).unwrap();
        for wanted in
            ["resident memory, MiB", "name server away", "allocated", "descriptors", "minutes", "</svg>"]
        {
            assert!(svg.contains(wanted), "{wanted}");
        }
        assert!(svg.matches("<polyline").count() >= 6, "{svg}");
        assert!((processor(&history.looks)[0].1 - 10.0).abs() < 1e-9);
        history.looks.truncate(1);
        assert!(draw(&history, &file).is_err());
    }
}
