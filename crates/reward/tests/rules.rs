//! Rules of reading and comparing, each with pairs that are the same answer and pairs that are not.

use reward::verify;

fn check(same: &[(&str, &str)], different: &[(&str, &str)]) {
    let pairs =
        same.iter().map(|pair| (pair, true)).chain(different.iter().map(|pair| (pair, false)));
    for ((gold, prediction), want) in pairs {
        let verdict = verify(gold, prediction);
        assert_eq!(verdict.equivalent, want, "{gold} | {prediction} | {verdict:?}");
    }
}

/// Case tells variables apart; only a whole answer of one letter, a word or a mere name is folded.
#[test]
fn case_tells_variables_apart() {
    let same = [
        (r"$\pi(R^2-r^2)$", r"$\pi (R-r)(R+r)$"),
        ("$I^2R$", "$R I^2$"),
        (r"$I=\frac VR$", r"$\frac{V}{R}$"),
        ("$A$", "$a$"),
        ("$Yes$", "$yes$"),
        (r"$\text{Yes}$", "$yes$"),
        ("$X=5$", "$x=5$"),
        ("$i^2$", "$-1$"),
        (r"$3+4\mathrm{i}$", "$3+4i$"),
        (r"$\mathrm{e}^2$", "$e^2$"),
        ("$AI = 5$", "$5$"),
        ("$F=ma$", "$ma$"),
        ("$f(x)=x^2$", "$x^2$"),
        (r"$\text{C}_2\text{H}_6$", "$C_2H_6$"),
        (r"$\sum_{i=1}^{10} i$", "$55$"),
        (r"$\Delta x$", r"$x\Delta$"),
        ("$V=IR$", "$IR$"),
        (r"$\mathrm{H_2O}$", "$H_2O$"),
    ];
    let different = [
        (r"$\pi(R^2-r^2)$", "0"),
        ("$V-v$", "0"),
        ("$I^2R$", "$-r$"),
        (r"$\Delta$", r"$\delta$"),
        (r"$I=\frac VR$", r"$\frac vr$"),
        ("$Vr$", "$vR$"),
        ("$Rr$", "$R^2$"),
        (r"$3+4\mathrm{i}$", "$7$"),
        ("$F=ma$", "$mA$"),
        ("$P(X)$", "$P(x)$"),
        (r"$\Delta t$", r"$\delta t$"),
        (r"$\frac{1}{2}mv^2$", r"$\frac{1}{2}MV^2$"),
    ];
    check(&same, &different);
}

/// A factor is no unit; a unit stands on either side or on none. A bare `3,5` is a list as well.
#[test]
fn units_and_numbers() {
    let same = [
        (r"$\frac12(a+b)h$", r"$\frac{(a+b)h}{2}$"),
        ("$5$", r"$5\text{ m}$"),
        ("$5$", "$5m$"),
        ("$5m$", "$5 m$"),
        ("20 N", r"$20\text{ N}$"),
        ("20 N", "20"),
        ("20 N", "20 N"),
        ("20 N", r"\boxed{20\ N}"),
        ("20 N", r"\boxed{20N}"),
        ("5 m^2", "5"),
        ("5 m^2", r"$5\text{ m}^2$"),
        ("9.8 m/s^2", "9.8"),
        ("9.8 m/s^2", r"\boxed{9.8\,\text{m/s}^2}"),
        ("9.8 m/s^2", r"\boxed{9.8\ \mathrm{m}/\mathrm{s}^{2}}"),
        ("25 Ω", "25"),
        ("25 Ω", r"\boxed{25\,\Omega}"),
        ("10 V", "10"),
        ("60 km/h", "60 km/h"),
        ("60 km/h", "60"),
        (r"$20\text{ N}$", "20 N"),
        ("$20 N$", r"\boxed{20\text{ N}}"),
        ("3,5", "3,5"),
        ("3,5", "5,3"),
        ("3,5", "3.5"),
        ("3,5", r"\boxed{3,5}"),
        ("3,5", r"\boxed{5, 3}"),
        ("$3,5$", "3,5"),
        ("3.5", "3,5"),
        ("1.6e-19", r"$1.6\times10^{-19}$"),
        (r"\$1,200", "1200"),
        (r"\$2.50", "2.5"),
        ("$1200$", r"\$1,200"),
    ];
    let different = [
        (r"$\frac12(a+b)h$", r"\frac{a+b}2"),
        (r"$\frac12(a+b)h$", r"$\frac{a+b}{2}$"),
        (r"\pi r^2 h", r"\pi r^2 l"),
        (r"$\pi r^2 h$", r"$\pi r^2$"),
        (r"$\frac{\sqrt3}{2}s$", r"\frac{\sqrt3}{2}"),
        ("$2s$", "$2$"),
        ("20 N", "21"),
        ("$20 N$", "20"),
        ("3,5", "3"),
        ("$3.5$", "$3,5$"),
        ("1,234", r"\boxed{1, 234}"),
        (r"$1.6\times10^{-19}$", "$0.0$"),
        ("1.6e-19", r"$1.7\times10^{-19}$"),
    ];
    check(&same, &different);
}

/// Percent signs, degrees, repeating decimals, names of values and boxes.
#[test]
fn notations() {
    let same = [
        ("12.5%", "12.5"),
        ("12.5%", "0.125"),
        ("28%", "28"),
        (r"$\approx 10$", "10"),
        ("10", r"$\approx 10$"),
        ("10", r"\boxed{\approx 10}"),
        (r"$\sin 30^\circ$", r"$\frac12$"),
        (r"\sin 30^\circ", r"\frac12"),
        (r"$\cos(60^\circ)$", "$0.5$"),
        (r"$\tan 45°$", "$1$"),
        (r"$\sin 60\degree$", r"$\frac{\sqrt3}{2}$"),
        (r"$30^\circ$", "$30$"),
        (r"$\angle A = 30^\circ$", "$30$"),
        (r"0.\overline{3}", r"\frac13"),
        (r"$0.1\overline{6}$", r"$\frac16$"),
        (r"$0.\overline{142857}$", "$1/7$"),
        (r"$0.\dot{1}4285\dot{7}$", "$1/7$"),
        (r"$1.\overline{3}$", "$4/3$"),
        ("$a=1,b=2$", "$1,2$"),
        ("$a=1,b=2$", "$b=2,a=1$"),
        ("$a=1,b=2$", "$(1,2)$"),
        ("$x=1,x=2$", "$2,1$"),
        ("7", r"\boxed{8} Wait, \boxed{7}"),
        ("$8,7$", r"\boxed{8}, \boxed{7}"),
        ("$8,7$", r"\boxed{8} and \boxed{7}"),
        ("$8,7$", r"$x=\boxed{8}$, $y=\boxed{7}$"),
        ("$8,7$", r"\boxed{8} \boxed{7}"),
        ("7", r"<think>a</think>\boxed{8} Wait, \boxed{7}"),
    ];
    let different = [
        ("0.5", "0.5%"),
        (r"0.\overline{3}", "0"),
        ("$a=1,b=2$", "$2,1$"),
        ("$a=1,b=2$", "$(2,1)$"),
        ("8", r"\boxed{8} Wait, \boxed{7}"),
    ];
    check(&same, &different);
}

/// Choices, and bare golds that are more than their last number.
#[test]
fn bare_answers() {
    let same = [
        ("A", "A. triangle"),
        ("A", "A) 5"),
        ("A", "(A) 5"),
        ("A", "A: 5"),
        ("x = 3 or x = 5", "$x=3$ or $x=5$"),
        ("x = 3 or x = 5", "3,5"),
        ("x = 3 or x = 5", r"\boxed{3, 5}"),
        ("x = 3 or x = 5", "x = 3 or x = 5"),
        ("-1 and 1", r"\boxed{1, -1}"),
        ("-1 and 1", r"$\pm 1$"),
        ("2 hours 30 minutes", r"\boxed{2 \text{ hours } 30 \text{ minutes}}"),
        ("July 4", r"\boxed{\text{July 4}}"),
        ("B. 12", "B"),
        ("B) 12", r"\boxed{B}"),
        ("12:30", "12:30"),
        ("12:30", r"\boxed{12:30}"),
        ("2020-01-02", "2020-01-02"),
        ("1:2", "1:2"),
        ("1:2", r"\boxed{1:2}"),
        ("ABD", "A,B,D"),
        ("ABD", r"\boxed{A, B, D}"),
        ("A,B,D", "ABD"),
        ("12 apples", "12"),
        ("Area = 12", "12"),
        ("#### 18", "18"),
        ("x = 5 cm", "5"),
        ("3 cm", r"$3\text{ cm}$"),
        ("So the answer is 12 of them.", "12"),
        ("20 degrees", r"$20^\circ$"),
        ("5 dollars", r"$\$5$"),
        (r"\sqrt{3} meters", r"$\sqrt3$"),
        ("The value is 15.", "15"),
        ("$AB=5$", "$ab=5$"),
        ("$y=4,x=3$", "$(3,4)$"),
        ("$10m$", "10 m"),
        ("x = 5 cm", "$x=5$"),
        ("7:00 PM", r"\boxed{\text{7:00 pm}}"),
        ("(-1, 2) or (3, 4)", "$(3,4),(-1,2)$"),
        ("36π cm^3", r"$36\pi$"),
    ];
    let different = [
        ("A", r"\boxed{A, B, C, D}"),
        ("A", "(A)(B)"),
        ("A", "A: no; B: yes"),
        ("A", "A triangle"),
        ("A", "A = 5"),
        ("x = 3 or x = 5", "5"),
        ("-1 and 1", "1"),
        ("2 hours 30 minutes", "30"),
        ("July 4", "4"),
        ("B. 12", "12"),
        ("B) 12", "12"),
        ("12:30", "0.4"),
        ("2020-01-02", "2017"),
        ("ABD", "A,B"),
        ("ABD", "A"),
        ("5 million", "5"),
        ("$a=1,b=2$", "$2,1$"),
        ("July 4 is the day", "4"),
        ("5 ft 6 in", "6"),
    ];
    check(&same, &different);
}
