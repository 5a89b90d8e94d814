//! One method too many.
use cloison_msg::{Answer, interface};

#[interface]
trait Large {
    fn m0(&self) -> Answer<()>;
    fn m1(&self) -> Answer<()>;
    fn m2(&self) -> Answer<()>;
    fn m3(&self) -> Answer<()>;
    fn m4(&self) -> Answer<()>;
    fn m5(&self) -> Answer<()>;
    fn m6(&self) -> Answer<()>;
    fn m7(&self) -> Answer<()>;
    fn m8(&self) -> Answer<()>;
    fn m9(&self) -> Answer<()>;
    fn m10(&self) -> Answer<()>;
    fn m11(&self) -> Answer<()>;
    fn m12(&self) -> Answer<()>;
    fn m13(&self) -> Answer<()>;
    fn m14(&self) -> Answer<()>;
    fn m15(&self) -> Answer<()>;
    fn m16(&self) -> Answer<()>;
    fn m17(&self) -> Answer<()>;
    fn m18(&self) -> Answer<()>;
    fn m19(&self) -> Answer<()>;
    fn m20(&self) -> Answer<()>;
    fn m21(&self) -> Answer<()>;
    fn m22(&self) -> Answer<()>;
    fn m23(&self) -> Answer<()>;
    fn m24(&self) -> Answer<()>;
    fn m25(&self) -> Answer<()>;
    fn m26(&self) -> Answer<()>;
    fn m27(&self) -> Answer<()>;
    fn m28(&self) -> Answer<()>;
    fn m29(&self) -> Answer<()>;
    fn m30(&self) -> Answer<()>;
    fn m31(&self) -> Answer<()>;
    fn m32(&self) -> Answer<()>;
    fn m33(&self) -> Answer<()>;
    fn m34(&self) -> Answer<()>;
    fn m35(&self) -> Answer<()>;
    fn m36(&self) -> Answer<()>;
    fn m37(&self) -> Answer<()>;
    fn m38(&self) -> Answer<()>;
    fn m39(&self) -> Answer<()>;
    fn m40(&self) -> Answer<()>;
    fn m41(&self) -> Answer<()>;
    fn m42(&self) -> Answer<()>;
    fn m43(&self) -> Answer<()>;
    fn m44(&self) -> Answer<()>;
    fn m45(&self) -> Answer<()>;
    fn m46(&self) -> Answer<()>;
    fn m47(&self) -> Answer<()>;
    fn m48(&self) -> Answer<()>;
    fn m49(&self) -> Answer<()>;
    fn m50(&self) -> Answer<()>;
    fn m51(&self) -> Answer<()>;
    fn m52(&self) -> Answer<()>;
    fn m53(&self) -> Answer<()>;
    fn m54(&self) -> Answer<()>;
    fn m55(&self) -> Answer<()>;
    fn m56(&self) -> Answer<()>;
    fn m57(&self) -> Answer<()>;
    fn m58(&self) -> Answer<()>;
    fn m59(&self) -> Answer<()>;
    fn m60(&self) -> Answer<()>;
    fn m61(&self) -> Answer<()>;
    fn m62(&self) -> Answer<()>;
    fn m63(&self) -> Answer<()>;
    fn m64(&self) -> Answer<()>;
}

fn main() {}
